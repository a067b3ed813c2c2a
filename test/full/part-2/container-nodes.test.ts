import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { MachineNetwork, MachineProvider, Machines, NodeAddresses, NodeHandle } from '../../../src/machine/types.ts';
import { holderPath, readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { removeNodeStorage } from '../../../src/sandbox/node-engine.ts';
import { copyFromStore, machinesFolder, type TestMachines, testMachines } from '../../fixtures/container-machines.ts';
import { nodeContract } from '../../fixtures/node-contract.ts';
import { nodeImage, type TestNodeImage } from '../../fixtures/node-image.ts';
import { providerDifferences } from '../../fixtures/provider-differences.ts';
import { pidOf } from '../../fixtures/sandbox-pid.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { greeting, namespacesOf, processesIn, until } from '../../fixtures/traces.ts';

const CHILD = new URL('../../fixtures/machines-child.ts', import.meta.url).pathname;
const NEVER = new AbortController().signal;
const KUBERNETES = '1.36';

/** A port that no unit of a node listens on. */
const PORT = 2222;

let tools: string;
let folder: Awaited<ReturnType<typeof machinesFolder>>;
let test: TestMachines;
let image: TestNodeImage;
let provider: MachineProvider;

beforeAll(async () => {
  tools = await toolsTree();
  image = await nodeImage(KUBERNETES);
  folder = await machinesFolder(tools);
  test = await testMachines(tools, folder.path);
  await copyFromStore(image.store, image.digest, test.layout);
  provider = test.provider();
  const lines: string[] = [];
  await provider.prepare(image.digest, (line) => lines.push(line), NEVER);
  expect(lines.join('\n')).toContain('Copying');
});

afterAll(async () => {
  await provider[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function addresses({ ipv4, ipv6 }: MachineNetwork, index: number): NodeAddresses {
  return {
    ...(ipv4 === undefined ? {} : { ipv4: ipv4.replace('.0/24', `.1${index}`) }),
    ...(ipv6 === undefined ? {} : { ipv6: ipv6.replace('::/64', `::1${index}`) }),
  };
}

async function output(node: NodeHandle, ...argv: [string, ...string[]]): Promise<string> {
  return (await node.run(argv)).stdout.trim();
}

async function booted(node: NodeHandle): Promise<string> {
  return (await node.run(['systemctl', 'is-system-running', '--wait'], { accept: [1] })).stdout.trim();
}

describe('nodes that are containers', () => {
  const spec = { cluster: 'e2e', run: 'first' };
  let machines: Machines;
  let network: MachineNetwork;
  let node01: NodeHandle;
  let node02: NodeHandle;

  const start = (index: number): Promise<NodeHandle> =>
    machines.start({ name: `node0${index}`, addresses: addresses(network, index) }, NEVER);

  beforeAll(async () => {
    machines = await provider.machines({ ...spec, image: image.digest });
    network = await machines.network(['ipv4', 'ipv6'], NEVER);
    [node01, node02] = await Promise.all([start(1), start(2)]);
  });

  afterAll(() => machines[Symbol.asyncDispose]());

  it('boot systemd, with nothing failed', async () => {
    for (const node of [node01, node02]) expect(await booted(node), await output(node, 'systemctl', '--failed')).toBe('running');
    expect(await output(node01, 'hostname')).toBe('node01');
    expect(await output(node01, 'cat', '/proc/1/comm')).toBe('systemd');
    expect(await machines.console('node01')).toContain('Multi-User');
  });

  it('share a network with the addresses asked for, and know each other by name', async () => {
    const { ipv4 = '', ipv6 = '' } = addresses(network, 2);
    const shown = await output(node02, 'ip', 'address', 'show', 'dev', 'eth0');
    expect(shown).toContain(` ${ipv4}/24 `);
    expect(shown).toContain(` ${ipv6}/64 `);
    expect([ipv4, ipv6]).toContain((await output(node01, 'getent', 'hosts', 'node02')).split(' ')[0]);
    await expect(machines.network(['ipv4', 'ipv6'], NEVER)).resolves.toEqual(network);
  });

  it('keep their settings from the host', async () => {
    const panic = (): Promise<string> => readFile('/proc/sys/kernel/panic', 'utf8');
    const before = await panic();
    await node01.run(['sh', '-c', `echo ${Number(before) + 1} >/proc/sys/kernel/panic`], { accept: [1, 2] });
    expect(await panic()).toBe(before);
    expect(await output(node01, 'sysctl', '--values', 'net.ipv4.ip_forward')).toBe('1');
  });

  describe('each of them', () => {
    nodeContract({ node: () => node01, other: () => node02, bytes: 20_000_000 });

    providerDifferences({
      provider: 'kind',
      machines: () => machines,
      node: () => node01,
      asked: { index: 1, cpus: 1, disk: 10e9 },
    });
  });

  describe('are reached', () => {
    const listen = (node: NodeHandle): Promise<unknown> =>
      node.run(['sh', '-c', `mkdir -p /run/sshd && ssh-keygen -A && exec /usr/sbin/sshd -p ${PORT}`]);
    const target = (index: number, family: 'ipv4' | 'ipv6'): { address: string; port: number } => ({
      address: addresses(network, index)[family] ?? '',
      port: PORT,
    });
    const greetingAt = async (host = ''): Promise<string> =>
      (await node02.run(['bash', '-c', `exec 3<>"/dev/tcp/$1/${PORT + 1}" && head -c 4 <&3`, 'bash', host], { accept: [1] })).stdout;

    beforeAll(() => Promise.all([listen(node01), listen(node02)]));

    it('from loopback, at a port that stays', async () => {
      const port = await machines.forward('one', [target(1, 'ipv4')], NEVER);
      expect(port.host).toBe('127.0.0.1');
      expect(await greeting(port.port)).toMatch(/^SSH-/);
      const other = await machines.forward('six', [target(1, 'ipv6')], NEVER);
      expect(await greeting(other.port)).toMatch(/^SSH-/);
      expect(await machines.forward('one', [target(2, 'ipv4')], NEVER)).toEqual(port);
      expect(await greeting(port.port)).toMatch(/^SSH-/);
    });

    it('from each other through a balancer that leaves out who does not answer', async () => {
      const balanced = await machines.balance(PORT + 1, [target(1, 'ipv4'), target(2, 'ipv6')], NEVER);
      expect(await greetingAt(balanced.ipv4)).toBe('SSH-');
      expect(await greetingAt(balanced.ipv6)).toBe('SSH-');
      await node01.run(['pkill', '--full', `sshd -p ${PORT}`]);
      for (const host of [balanced.ipv4, balanced.ipv6, balanced.ipv4, balanced.ipv6]) {
        await until(async () => (await greetingAt(host)) === 'SSH-');
      }
    });

    it('again when a balancer was killed', async () => {
      const { port } = await machines.forward('one', [target(2, 'ipv4')], NEVER);
      await using engine = await test.openEngine();
      await engine.sandbox.run(['pkill', '-KILL', 'haproxy']);
      await until(async () => (await greeting(port)) === '');
      expect(await machines.forward('one', [target(2, 'ipv4')], NEVER)).toEqual({ host: '127.0.0.1', port });
      expect(await greeting(port)).toMatch(/^SSH-/);
    });
  });

  it('stop in order and start again with what they kept', async () => {
    await node02.write([{ path: '/var/lib/kept', content: 'kept' }]);
    await machines.stop('node02', NEVER);
    expect(await machines.list()).toEqual([
      { name: 'node01', state: 'running' },
      { name: 'node02', state: 'stopped' },
    ]);
    await expect(machines.node('node02')).rejects.toMatchObject({ code: 'node-stopped' });
    await expect(node02.run(['true'])).rejects.toMatchObject({ code: 'container-stopped' });
    node02 = await start(2);
    expect(await booted(node02)).toBe('running');
    expect(await output(node02, 'cat', '/var/lib/kept')).toBe('kept');
  });

  it('that are killed are stopped, and start again', async () => {
    await using engine = await test.openEngine();
    await engine.network.run(['podman', 'kill', 'kvci-e2e-node02']);
    await until(async () => (await machines.list())[1]?.state === 'stopped');
    node02 = await start(2);
    expect(await output(node02, 'cat', '/var/lib/kept')).toBe('kept');
  });

  it("outlive the engine's service, which is started again", async () => {
    const before = await output(node01, 'stat', '--format=%Y', '/proc/1');
    await using engine = await test.openEngine();
    await engine.sandbox.run(['pkill', '-KILL', '--full', 'podman system service']);
    await expect(node01.run(['true'])).rejects.toMatchObject({ code: 'engine-lost' });
    await using again = await test.provider().machines({ ...spec, image: image.digest });
    expect(await output(await again.node('node01'), 'stat', '--format=%Y', '/proc/1')).toBe(before);
  });

  it('are found again after all was killed, as after a reboot', async () => {
    const record = await readRecord(recordPath(test.parts.directories));
    const sandbox = await test.parts.sandboxes.find(record!.sandbox!);
    await sandbox!.end();
    await machines[Symbol.asyncDispose]();
    machines = await provider.machines({ ...spec, image: image.digest });
    expect(existsSync(record!.cgroup!)).toBe(false);
    expect(await machines.list()).toEqual(['node01', 'node02'].map((name) => ({ name, state: 'stopped' })));
    expect(await machines.network(['ipv4', 'ipv6'], NEVER)).toEqual(network);
    [node01, node02] = await Promise.all([start(1), start(2)]);
    expect(await output(node02, 'cat', '/var/lib/kept')).toBe('kept');
  });

  it('go one by one', async () => {
    await machines.remove('node02');
    await machines.remove('node02');
    expect(await machines.list()).toEqual([{ name: 'node01', state: 'running' }]);
    await expect(machines.node('node02')).rejects.toMatchObject({ code: 'node-not-found' });
  });

  it("leave another cluster's alone, and nothing of their own", async () => {
    await using other = await provider.machines({ cluster: 'other', run: 'first', image: image.digest });
    const otherNetwork = await other.network(['ipv6'], NEVER);
    expect(Object.keys(otherNetwork)).toEqual(['ipv6']);
    expect(otherNetwork.ipv6).not.toBe(network.ipv6);
    await other.start({ name: 'node01', addresses: addresses(otherNetwork, 1) }, NEVER);
    await machines.destroy();
    await machines.destroy();
    expect(await machines.list()).toEqual([]);
    expect(await other.list()).toEqual([{ name: 'node01', state: 'running' }]);
    await other.destroy();
    await using engine = await test.openEngine();
    expect((await engine.network.run(['podman', 'ps', '--all', '--quiet'])).stdout).toBe('');
    expect((await engine.network.run(['podman', 'volume', 'ls', '--quiet'])).stdout).toBe('');
    expect((await engine.network.run(['ip', '-brief', 'link', 'show', 'type', 'bridge'])).stdout).toBe('');
    expect((await engine.sandbox.run(['pgrep', '--list-full', 'haproxy|conmon'], { accept: [1] })).stdout).toBe('');
  });
});

describe('a kvci that is killed', () => {
  it.each(['begins', 'engine', 'network', 'node01', 'node02'])('after "%s" leaves what the next one goes on from', async (word) => {
    const spec = { cluster: 'killed', run: word };
    const child = spawn(process.execPath, [CHILD, tools, folder.path, image.digest, spec.cluster, spec.run, 'node01', 'node02'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: child.stdout })) if (line === word) child.kill('SIGKILL');
    await using machines = await provider.machines({ ...spec, image: image.digest });
    const network = await machines.network(['ipv4', 'ipv6'], NEVER);
    const node = await machines.start({ name: 'node02', addresses: { ipv4: addresses(network, 2).ipv4 ?? '' } }, NEVER);
    expect(await output(node, 'hostname')).toBe('node02');
    await machines.destroy();
    expect(await machines.list()).toEqual([]);
  });
});

describe('the engine for nodes', () => {
  it('is one for all who start it at once, and ends when nobody needs it: no process, namespace, group or record stays', async () => {
    await provider[Symbol.asyncDispose]();
    const { directories } = test.parts;
    expect(await readRecord(recordPath(directories))).toBeUndefined();
    const engines = await Promise.all([test.openEngine(), test.openEngine(), test.openEngine()]);
    const record = await readRecord(recordPath(directories));
    const namespaces = await namespacesOf(pidOf(record!.sandbox));
    expect(await processesIn(namespaces)).not.toEqual([]);
    await expect(removeNodeStorage({ ...test.parts, signal: NEVER })).resolves.toBe(false);
    await Promise.all(engines.map((engine) => engine[Symbol.asyncDispose]()));
    expect(await processesIn(namespaces)).toEqual([]);
    expect(existsSync(record!.cgroup!)).toBe(false);
    expect(existsSync(recordPath(directories))).toBe(false);
    expect(existsSync(holderPath(directories))).toBe(false);
    await expect(removeNodeStorage({ ...test.parts, signal: NEVER })).resolves.toBe(true);
    expect(existsSync(join(directories.cache, 'nodes'))).toBe(false);
  });
});
