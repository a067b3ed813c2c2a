import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { connectContainers } from '../../../src/host/adapters/dockerode-containers.ts';
import { connectEngine } from '../../../src/host/adapters/dockerode-engine.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { systemClock } from '../../../src/host/clock.ts';
import type { EngineEndpoint } from '../../../src/host/engine/endpoint.ts';
import { NO_CREDENTIALS } from '../../../src/host/engine/registry-credentials.ts';
import { freePort } from '../../../src/host/free-port.ts';
import { fileLocks } from '../../../src/host/locks.ts';
import { containerProvider } from '../../../src/machine/container/container-provider.ts';
import { HostEngines } from '../../../src/machine/container/host-engines.ts';
import { BALANCER_PROGRAMS } from '../../../src/machine/container/host-forwards.ts';
import { hostNodeHost } from '../../../src/machine/container/host-node-host.ts';
import { HERE } from '../../../src/machine/container/host-ways.ts';
import type { MachineProvider } from '../../../src/machine/types.ts';
import type { ImageLayout } from '../../../src/oci/layout.ts';
import { listManifests } from '../../../src/oci/manifests.ts';
import type { NodeEngine } from '../../../src/sandbox/node-engine.ts';
import { readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { NETWORK } from '../../../src/sandbox/node-sandbox.ts';
import { SOCKET } from '../../../src/sandbox/podman-service.ts';
import { programRoot } from '../../../src/sandbox/program-root.ts';
import type { Sandboxes } from '../../../src/sandbox/types.ts';
import { REPOSITORY, run, type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { copyFromStore, machinesFolder, type TestMachines, testMachines } from '../../fixtures/container-machines.ts';
import { dockerProblem, startDockerDaemon } from '../../fixtures/docker-daemon.ts';
import { testLayout, writeImage } from '../../fixtures/image-layout.ts';
import { wellDone } from '../../fixtures/kvci-calls.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { goodNode } from '../../fixtures/node-tree.ts';
import { pidOf } from '../../fixtures/sandbox-pid.ts';
import { testSandboxes } from '../../fixtures/sandboxes.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

const NAME = 'kvci-host';
const NEVER = new AbortController().signal;

/** Nodes in an engine of the host. */
function providerOver(endpoint: EngineEndpoint, layout: ImageLayout, sandboxes: Sandboxes, owner = 'test'): MachineProvider {
  return containerProvider({
    openHost: async () =>
      hostNodeHost({
        engine: await connectEngine(endpoint, NO_CREDENTIALS),
        containers: await connectContainers(endpoint),
        layout: () => Promise.resolve(layout),
        modules: false,
        balancerRoot: (signal) => programRoot(sandboxes, BALANCER_PROGRAMS, signal),
        owner: () => Promise.resolve(owner),
        ways: HERE,
      }),
    clock: systemClock,
    events: () => undefined,
    tar: tarStreamTar,
  });
}

describe("nodes in a Podman that is the host's", () => {
  let folder: Awaited<ReturnType<typeof machinesFolder>>;
  let test: TestMachines;
  let engine: NodeEngine;
  let digest: Digest;
  let provider: MachineProvider;
  let endpoint: EngineEndpoint;
  let socket: string;
  let networkFile: string;

  beforeAll(async () => {
    const tools = await toolsTree();
    const image = await nodeImage('1.36');
    ({ digest } = image);
    folder = await machinesFolder(tools);
    test = await testMachines(tools, folder.path);
    await copyFromStore(image.store, digest, test.layout);
    engine = await test.openEngine();
    const record = await readRecord(recordPath(test.parts.directories));
    const root = `/proc/${pidOf(record!.sandbox)}/root`;
    networkFile = `${root}${NETWORK}`;
    socket = `${root}${SOCKET}`;
    endpoint = { address: { transport: 'unix', path: socket }, origin: 'test' };
    provider = providerOver(endpoint, test.layout, testSandboxes(tools, folder.path));
    await provider.prepare(digest, () => undefined, NEVER);
    expect(await provider.hasImage(digest)).toBe(true);
  });

  afterAll(async () => {
    await provider[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  it('start, run commands, are reached at the port of the API, and go', async () => {
    await using machines = await provider.machines({ cluster: 'host', run: 'one', image: digest });
    const network = await machines.network(['ipv4', 'ipv6'], NEVER);
    const address = (network.ipv4 ?? '').replace('0/24', '11');
    const hostPort = await freePort();
    const machine = { name: 'node01', addresses: { ipv4: address }, publish: [{ port: 6443, hostPort }] };
    const serve = async (): Promise<void> => {
      const node = await machines.start(machine, NEVER);
      expect((await node.run(['hostname'])).stdout).toBe('node01\n');
      await node.run(['sh', '-c', 'mkdir -p /run/sshd && ssh-keygen -A && exec /usr/sbin/sshd -p 6443']);
    };
    // Loopback of this engine's host is that of its own network.
    const said = async (): Promise<string> => {
      const talk = 'exec 3<>"/dev/tcp/127.0.0.1/$1" && head -c 4 <&3';
      return (await engine.network.run(['bash', '-c', talk, 'bash', String(hostPort)])).stdout;
    };
    await serve();
    expect(await machines.forward('api', [{ address, port: 6443 }], NEVER)).toEqual({ host: '127.0.0.1', port: hostPort });
    expect(await said()).toBe('SSH-');
    await expect(machines.forward('api', [{ address, port: 22 }], NEVER)).rejects.toMatchObject({ code: 'port-not-published' });
    await machines.stop('node01', NEVER);
    const listen = `require('node:net').createServer().listen(${hostPort}, '127.0.0.1', () => console.log('listens'))`;
    const other = spawn('nsenter', [`--net=${networkFile}`, process.execPath, '-e', listen], { stdio: ['ignore', 'pipe', 'inherit'] });
    const gone = once(other, 'exit');
    await once(other.stdout, 'data');
    await expect(machines.start(machine, NEVER)).rejects.toMatchObject({ code: 'port-taken', facts: { port: hostPort } });
    other.kill();
    await gone;
    await serve();
    expect(await said()).toBe('SSH-');
    await machines.destroy();
    expect(await machines.list()).toEqual([]);
    expect(await engine.containers.volumes({ 'io.kvci.run': '' })).toEqual([]);
  });

  it('are asked for by itself where it may start them, several control planes behind a load balancer', async () => {
    expect(await engine.containers.list({ 'io.kvci.run': '' })).toEqual([]);
    await using here = await temporaryFolder();
    const env = { CONTAINER_HOST: `unix://${socket}` };
    // In the network of that engine, as on a host of its own.
    const kvci = (...args: readonly string[]): Promise<Run> =>
      run('nsenter', [`--net=${networkFile}`, join(REPOSITORY, 'kvci'), ...args], { cwd: here.path, env });
    const done = wellDone(kvci);
    const asked = ['--image', digest, '--control-planes', '2', '--nodes', '3', '--output', 'json'];
    try {
      const { code, stderr } = await kvci('up', NAME, ...asked);
      expect(code, stderr).toBe(0);
      expect(stderr).toContain('nodes are containers of podman');
      expect(await engine.containers.list({ 'io.kvci.run': '' })).toHaveLength(4);
      expect(JSON.parse(await done('status', NAME, '--output', 'json'))).toMatchObject({ condition: 'ready' });
      // The nodes call the API through the load balancer.
      expect(await done('ssh', 'node03', '--cluster', NAME, '--', 'cat', '/etc/kubernetes/kubelet.conf')).toMatch(
        /server: https:\/\/10\.89\.\d+\.10:6443/,
      );
      const { ports } = JSON.parse(await done('ports', NAME, '--output', 'json')) as { readonly ports: unknown };
      await done('stop', NAME);
      expect((await engine.containers.list({ 'io.kvci.run': '' })).filter(({ running }) => running)).toEqual([]);
      await done('start', NAME);
      expect(JSON.parse(await done('ports', NAME, '--output', 'json'))).toEqual({ ports });
      expect(JSON.parse(await done('up', NAME, ...asked))).toMatchObject({ reused: true });
      await done('node', 'remove', 'node02', '--cluster', NAME);
      expect(JSON.parse(await done('status', NAME, '--output', 'json'))).toMatchObject({ condition: 'ready' });
    } finally {
      await done('down', NAME);
    }
    for (const list of ['list', 'volumes', 'networks'] as const) expect(await engine.containers[list]({ 'io.kvci.run': '' })).toEqual([]);
  });

  it('of a cluster whose state is lost are taken away by prune, those of others never', async () => {
    await using here = await temporaryFolder();
    const state = join(here.path, 'state');
    await mkdir(state);
    const owner = await new HostEngines({ state }, fileLocks(systemClock)).enter({ transport: 'unix', path: socket });
    const sandboxes = testSandboxes(await toolsTree(), folder.path);
    await using own = providerOver(endpoint, test.layout, sandboxes, owner);
    for (const [provided, cluster] of [
      [own, 'lost'],
      [provider, 'another'],
    ] as const) {
      await using machines = await provided.machines({ cluster, run: 'one', image: digest });
      const { ipv4 = '' } = await machines.network(['ipv4'], NEVER);
      await machines.start({ name: 'node01', addresses: { ipv4: ipv4.replace('0/24', '11') } }, NEVER);
    }
    const env = { KVCI_STATE_DIR: state, KVCI_CACHE_DIR: join(here.path, 'cache'), KVCI_RUNTIME_DIR: join(here.path, 'run') };
    const { code, stdout } = await run(join(REPOSITORY, 'kvci'), ['prune', '--output', 'json'], { cwd: here.path, env });
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 0,
      // Images that earlier tests brought go as well.
      removed: expect.arrayContaining(['nodes of the cluster "lost", whose state is lost']) as string[],
      failed: [],
    });
    const left = await Promise.all(
      (['list', 'volumes', 'networks'] as const).map((kind) => engine.containers[kind]({ 'io.kvci.run': '' })),
    );
    expect(left.map((items) => items.map(({ labels }) => labels['io.kvci.run/cluster']))).toEqual([['another'], ['another'], ['another']]);
    await using others = await provider.machines({ cluster: 'another', run: 'one', image: digest });
    await others.destroy();
  });

  it('are refused in an engine with another loopback than ours: a mounted socket of an outer host', async () => {
    await using here = await temporaryFolder();
    const env = { KVCI_STATE_DIR: join(here.path, 'state') };
    const up = await run(
      join(REPOSITORY, 'kvci'),
      ['up', NAME, '--provider', 'kind', '--image', digest, '--engine', socket, '--output', 'json'],
      {
        cwd: here.path,
        env,
      },
    );
    expect({ code: up.code, ...(JSON.parse(up.stdout) as object) }).toMatchObject({
      code: 2,
      error: { code: 'engine-elsewhere', message: expect.stringContaining('publishes ports elsewhere') as string },
    });
    const auto = startKvci(['up', NAME, '--provider', 'kind', '--image', digest, '--progress', 'json'], {
      cwd: here.path,
      env: { ...env, KVCI_CACHE_DIR: join(here.path, 'cache'), CONTAINER_HOST: `unix://${socket}` },
    });
    expect(await auto.said("nodes are containers of kvci's own engine")).toContain('publishes ports elsewhere');
    await auto.ended();
    expect(await engine.containers.list({ 'io.kvci.run': '' })).toEqual([]);
  });

  it('leave those of another life of the cluster alone: they may be of another user', async () => {
    await using first = await provider.machines({ cluster: 'host', run: 'first', image: digest });
    await first.network(['ipv4'], NEVER);
    await using second = await provider.machines({ cluster: 'host', run: 'second', image: digest });
    await expect(second.network(['ipv4'], NEVER)).rejects.toMatchObject({ code: 'name-taken' });
    await second.destroy();
    expect(await engine.containers.networks({ 'io.kvci.run': 'first' })).toHaveLength(1);
    await first.destroy();
  });
});

describe('an engine that may not start privileged containers', () => {
  const skip = isMissing('docker', dockerProblem());

  it.skipIf(skip)('is named, with what to do instead', async () => {
    await using folder = await temporaryFolder();
    await using daemon = await startDockerDaemon();
    const layout = await testLayout(folder.path);
    await writeImage(layout, goodNode(), 'localhost/kvci-test/node:1');
    const [manifest] = await listManifests(layout);
    const { digest } = manifest!.descriptor;
    const endpoint = { address: { transport: 'unix', path: daemon.socket }, origin: 'test' } as const;
    await using provider = providerOver(endpoint, layout, testSandboxes(await toolsTree(), folder.path));
    await provider.prepare(digest, () => undefined, NEVER);
    await using machines = await provider.machines({ cluster: 'host', run: 'one', image: digest });
    const network = await machines.network(['ipv4'], NEVER);
    const machine = { name: 'node01', addresses: { ipv4: (network.ipv4 ?? '').replace('0/24', '11') } };
    await expect(machines.start(machine, NEVER)).rejects.toMatchObject({ code: 'engine-unprivileged', reason: 'hostNotReady' });
    await machines.destroy();
    expect(await machines.list()).toEqual([]);
  });

  it.skipIf(skip)('is passed over where nobody named it: nodes go into the engine that kvci starts', async () => {
    await using folder = await temporaryFolder();
    await using daemon = await startDockerDaemon();
    const { digest } = await nodeImage('1.36');
    const up = startKvci(['up', NAME, '--provider', 'kind', '--image', digest, '--progress', 'json', '--output', 'json'], {
      cwd: folder.path,
      env: { DOCKER_HOST: `unix://${daemon.socket}` },
    });
    expect(await up.said("nodes are containers of kvci's own engine")).toContain('may not start privileged containers');
    await up.said('"step":"boot node01"');
    up.child.kill('SIGINT');
    expect((await up.ended()).code).toBe(130);
    const containers = await connectContainers({ address: { transport: 'unix', path: daemon.socket }, origin: 'test' });
    expect(await containers.list({ 'io.kvci.run': '' })).toEqual([]);
  });
});
