import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { connectContainers } from '../../../src/host/adapters/dockerode-containers.ts';
import { connectEngine } from '../../../src/host/adapters/dockerode-engine.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { systemClock } from '../../../src/host/clock.ts';
import type { EngineEndpoint } from '../../../src/host/engine/endpoint.ts';
import { NO_CREDENTIALS } from '../../../src/host/engine/registry-credentials.ts';
import { containerProvider } from '../../../src/machine/container/container-provider.ts';
import { hostNodeHost } from '../../../src/machine/container/host-node-host.ts';
import type { MachineProvider } from '../../../src/machine/types.ts';
import type { ImageLayout } from '../../../src/oci/layout.ts';
import { listManifests } from '../../../src/oci/manifests.ts';
import type { NodeEngine } from '../../../src/sandbox/node-engine.ts';
import { readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { copyFromStore, machinesFolder, type TestMachines, testMachines } from '../../fixtures/container-machines.ts';
import { dockerProblem, startDockerDaemon } from '../../fixtures/docker-daemon.ts';
import { testLayout, writeImage } from '../../fixtures/image-layout.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { goodNode } from '../../fixtures/node-tree.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';

const NEVER = new AbortController().signal;

/** Nodes in an engine of the host. */
function providerOver(endpoint: EngineEndpoint, layout: ImageLayout): MachineProvider {
  return containerProvider({
    openHost: async () =>
      hostNodeHost({
        engine: await connectEngine(endpoint, NO_CREDENTIALS),
        containers: await connectContainers(endpoint),
        layout: () => Promise.resolve(layout),
        modules: false,
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

  beforeAll(async () => {
    const tools = await toolsTree();
    const image = await nodeImage('1.36');
    ({ digest } = image);
    folder = await machinesFolder(tools);
    test = await testMachines(tools, folder.path);
    await copyFromStore(image.store, digest, test.layout);
    engine = await test.openEngine();
    const record = await readRecord(recordPath(test.parts.directories));
    provider = providerOver(
      { address: { transport: 'unix', path: `/proc/${record!.sandbox!.pid}/root/run/podman.sock` }, origin: 'test' },
      test.layout,
    );
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
    const node = await machines.start({ name: 'node01', addresses: { ipv4: address } }, NEVER);
    expect((await node.run(['hostname'])).stdout).toBe('node01\n');
    await node.run(['sh', '-c', 'mkdir -p /run/sshd && ssh-keygen -A && exec /usr/sbin/sshd -p 6443']);
    const port = await machines.forward('api', [{ address, port: 6443 }], NEVER);
    expect(port.host).toBe('127.0.0.1');
    // Loopback of this engine's host is that of its own network.
    const said = await engine.network.run(['bash', '-c', 'exec 3<>"/dev/tcp/127.0.0.1/$1" && head -c 4 <&3', 'bash', String(port.port)]);
    expect(said.stdout).toBe('SSH-');
    await expect(machines.forward('api', [{ address, port: 22 }], NEVER)).rejects.toMatchObject({ code: 'port-not-published' });
    await expect(machines.balance(6443, [{ address, port: 6443 }], NEVER)).rejects.toMatchObject({ code: 'no-balancer' });
    await machines.destroy();
    expect(await machines.list()).toEqual([]);
    expect(await engine.containers.volumes({ 'io.kvci.run': '' })).toEqual([]);
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
  it.skipIf(isMissing('docker', dockerProblem()))('is named, with what to do instead', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kvci-host-engine-'));
    try {
      await using daemon = await startDockerDaemon();
      const layout = await testLayout(folder);
      await writeImage(layout, goodNode(), 'localhost/kvci-test/node:1');
      const [manifest] = await listManifests(layout);
      const { digest } = manifest!.descriptor;
      await using provider = providerOver({ address: { transport: 'unix', path: daemon.socket }, origin: 'test' }, layout);
      await provider.prepare(digest, () => undefined, NEVER);
      await using machines = await provider.machines({ cluster: 'host', run: 'one', image: digest });
      const network = await machines.network(['ipv4'], NEVER);
      const machine = { name: 'node01', addresses: { ipv4: (network.ipv4 ?? '').replace('0/24', '11') } };
      await expect(machines.start(machine, NEVER)).rejects.toMatchObject({ code: 'engine-unprivileged', reason: 'hostNotReady' });
      await machines.destroy();
      expect(await machines.list()).toEqual([]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
