import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { connectContainers } from '../../src/host/adapters/dockerode-containers.ts';
import type { ContainerRequest, Containers, ExecRequest } from '../../src/host/engine/containers.ts';
import { freePort } from '../../src/host/free-port.ts';
import { NO_CREDENTIALS } from '../../src/host/engine/registry-credentials.ts';
import { removeNodeStorage } from '../../src/sandbox/node-engine.ts';
import { testMachines } from '../fixtures/container-machines.ts';
import { dockerProblem, startDockerDaemon } from '../fixtures/docker-daemon.ts';
import { isMissing } from '../fixtures/needs.ts';
import { noProcess, sleepSeconds } from '../fixtures/processes.ts';
import { smallRoot } from '../fixtures/small-root.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

/*
 * One suite for every engine: what `Containers` promises. Privileged containers start in kvci's own engine only, where the whole
 * of a node is tested (container-nodes.test.ts).
 */

const IMAGE = 'localhost/kvci-test/containers:1';
const NEVER = new AbortController().signal;
const LABELS = { 'io.kvci.run': 'test', 'io.kvci.test': 'containers' };
const NETWORK = { name: 'kvci-test-containers', labels: LABELS, ipv4: '10.89.251.0/24', ipv6: 'fd00:6b76:6369:fb::/64' };

interface Started {
  readonly containers: Containers;
  end(): Promise<void>;
}

async function startDocker(): Promise<Started> {
  const daemon = await startDockerDaemon();
  await using engine = await daemon.connect(NO_CREDENTIALS);
  await engine.importRoot(await smallRoot(), IMAGE, NEVER);
  const address = { transport: 'unix', path: daemon.socket } as const;
  return { containers: await connectContainers({ address, origin: 'test' }), end: async () => daemon[Symbol.asyncDispose]() };
}

async function startOwnPodman(): Promise<Started> {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-containers-'));
  const { parts, openEngine } = await testMachines(await toolsTree(), folder);
  const engine = await openEngine();
  await engine.network.run(['podman', 'import', '-', IMAGE], { stdin: await smallRoot() });
  return {
    containers: engine.containers,
    end: async () => {
      await engine[Symbol.asyncDispose]();
      expect(await removeNodeStorage({ ...parts, signal: NEVER })).toBe(true);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describe.each([
  ['docker', startDocker],
  ['podman', startOwnPodman],
] as const)('containers of %s', (make, start) => {
  const skip = make === 'docker' && isMissing('docker', dockerProblem());
  let started: Started;
  let containers: Containers;
  let id: string;

  const request = (change: Partial<ContainerRequest> = {}): ContainerRequest => ({
    name: 'kvci-test-one',
    hostname: 'one',
    image: IMAGE,
    labels: { ...LABELS, 'io.kvci.test.name': 'one' },
    env: { GREETING: 'a b' },
    command: ['sh', '-c', 'echo "console: $GREETING"; exec sleep 100000'],
    privileged: false,
    network: { name: NETWORK.name, ipv4: '10.89.251.11', ipv6: 'fd00:6b76:6369:fb::11' },
    tmpfs: ['/run'],
    binds: [],
    volumes: [{ name: 'kvci-test-volume', inside: '/etc' }],
    publish: [],
    ...change,
  });

  const exec = async (argv: ExecRequest['argv'], change: Partial<ExecRequest> = {}) => {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const said = Promise.all([text(stdout), text(stderr)]);
    const code = await containers.exec(id, { argv, env: {}, stdout, stderr, ...change }).finally(() => {
      stdout.end();
      stderr.end();
    });
    const [out, err] = await said;
    return { code, out, err };
  };

  beforeAll(async () => {
    if (skip) return;
    started = await start();
    containers = started.containers;
    await containers.createNetwork(NETWORK);
    await containers.createVolume('kvci-test-volume', LABELS);
    id = await containers.create(request(), NEVER);
    await containers.start(id, NEVER);
    // What ends a cancelled command is in every node, and not among the few programs of this image.
    await exec(['busybox', '--install', '-s', '/bin']);
  });

  afterAll(async () => {
    if (!skip) await started.end();
  });

  it.skipIf(skip)('are found by their labels, with what they are', async () => {
    const [one, ...others] = await containers.list({ 'io.kvci.test.name': 'one' });
    expect(others).toEqual([]);
    expect(one).toMatchObject({
      id,
      name: 'kvci-test-one',
      running: true,
      addresses: { ipv4: '10.89.251.11', ipv6: 'fd00:6b76:6369:fb::11' },
    });
    expect(one?.labels).toMatchObject(LABELS);
    expect(await containers.list({ 'io.kvci.test.name': 'two' })).toEqual([]);
    expect(await containers.list({ 'io.kvci.run': '' })).toHaveLength(1);
    expect(containers.info.name).toBe(make);
  });

  it.skipIf(skip)('started twice run once', async () => {
    await containers.start(id, NEVER);
    expect(await containers.logs(id)).toBe('console: a b\n');
  });

  it.skipIf(skip)('run commands with two streams and an exit code', async () => {
    expect(await exec(['sh', '-c', 'echo "$A"; pwd; echo err >&2; exit 7'], { env: { A: '$x' }, cwd: '/etc' })).toEqual({
      code: 7,
      out: '$x\n/etc\n',
      err: 'err\n',
    });
  });

  it.skipIf(skip)('take and give as much as there is', async () => {
    const bytes = Buffer.alloc(5_000_000, 'some bytes ');
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect((await exec(['sha256sum'], { stdin: Readable.from([bytes]) })).out).toContain(digest);
    expect((await exec(['sh', '-c', 'yes | head -c 5000000'])).out).toHaveLength(5_000_000);
  });

  it.skipIf(skip)('give a command a terminal of the size asked for', async () => {
    const { code, out } = await exec(
      ['sh', '-c', 'until [ "$(stty size 2>/dev/null)" = "33 99" ]; do sleep 0.1; done; stty size; exit 2'],
      { terminal: { columns: 99, rows: 33 } },
    );
    expect({ code, out: out.trim() }).toEqual({ code: 2, out: '33 99' });
  });

  it.skipIf(skip)('end a cancelled command with all that it has started', async () => {
    const seconds = sleepSeconds();
    const controller = new AbortController();
    const stdout = new PassThrough();
    stdout.once('data', () => {
      controller.abort();
    });
    const running = containers.exec(id, {
      argv: ['sh', '-c', 'sleep "$1" & echo started; sleep "$1"', 'sh', seconds],
      env: {},
      stdout,
      stderr: new PassThrough(),
      signal: controller.signal,
    });
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    await noProcess(seconds);
  });

  it.skipIf(skip)('a volume that is new has what the image has there', async () => {
    expect((await exec(['cat', '/etc/owned'])).out).toBe('owned\n');
    expect(await containers.volumes(LABELS)).toMatchObject([{ name: 'kvci-test-volume', labels: LABELS }]);
  });

  it.skipIf(skip)('a name, and a range of addresses, is taken once', async () => {
    await expect(containers.create(request(), NEVER)).rejects.toMatchObject({ code: 'name-taken' });
    await expect(containers.createNetwork(NETWORK)).rejects.toMatchObject({ code: 'name-taken' });
    await expect(containers.createNetwork({ ...NETWORK, name: 'kvci-test-other' })).rejects.toMatchObject({ code: 'network-taken' });
    const [network, ...others] = await containers.networks(LABELS);
    expect(others).toEqual([]);
    expect(network).toMatchObject({ name: NETWORK.name, labels: LABELS });
    expect(network?.ranges.toSorted()).toEqual([NETWORK.ipv4, NETWORK.ipv6]);
  });

  it.skipIf(skip)('publish ports of the host by the numbers asked for, over a stop and a start, each once', async () => {
    const host = await freePort();
    const publishing = (name: string): Promise<string> =>
      containers.create(
        request({
          name: `kvci-test-${name}`,
          labels: { ...LABELS, 'io.kvci.test.name': name },
          network: { name: NETWORK.name },
          volumes: [],
          publish: [{ inside: 8080, host }],
        }),
        NEVER,
      );
    const published = async () => (await containers.list({ 'io.kvci.test.name': 'first' })).map((info) => [...info.published]);
    const [first, second] = [await publishing('first'), await publishing('second')];
    await containers.start(first, NEVER);
    expect(await published()).toEqual([[[8080, host]]]);
    await expect(containers.start(second, NEVER)).rejects.toMatchObject({ code: 'port-taken', facts: { port: host } });
    await containers.stop(first, 0);
    await containers.start(first, NEVER);
    expect(await published()).toEqual([[[8080, host]]]);
    await containers.remove(first);
    await containers.start(second, NEVER);
    await containers.remove(second);
  });

  it.skipIf(skip)('that stopped run no command, and start again', async () => {
    await containers.stop(id, 0);
    await containers.stop(id, 0);
    await expect(exec(['true'])).rejects.toMatchObject({ code: 'container-stopped' });
    expect(await containers.list(LABELS)).toMatchObject([{ running: false, exitCode: 137 }]);
    await containers.start(id, NEVER);
    expect((await exec(['echo', 'again'])).out).toBe('again\n');
  });

  it.skipIf(skip)('what cannot be made says why', async () => {
    await expect(containers.create(request({ name: 'kvci-test-two', image: 'localhost/kvci-test/none:1' }), NEVER)).rejects.toMatchObject({
      code: 'engine-request-failed',
      message: expect.stringMatching(/no such image/i) as string,
    });
  });

  it.skipIf(skip)('are gone when they are removed, once and again', async () => {
    for (const _ of [1, 2]) {
      await containers.remove(id);
      await containers.removeVolume('kvci-test-volume');
      await containers.removeNetwork(NETWORK.name);
    }
    expect(await containers.list(LABELS)).toEqual([]);
    expect(await containers.volumes(LABELS)).toEqual([]);
    expect(await containers.networks(LABELS)).toEqual([]);
    await expect(exec(['true'])).rejects.toMatchObject({ code: 'container-stopped' });
  });
});
