import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { vmMachines } from '../../../src/machine/qemu/vm-machines.ts';
import { VmSandboxRecords } from '../../../src/machine/qemu/vm-record.ts';
import type { VmSandboxParts } from '../../../src/machine/qemu/vm-sandbox.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { knownByName } from '../../../src/machine/node-names.ts';
import type { Machines, NodeHandle } from '../../../src/machine/types.ts';
import { pidOf } from '../../fixtures/sandbox-pid.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { greeting, namespacesOf, processesIn, until } from '../../fixtures/traces.ts';
import { LAN, nodeDisk, testVms } from '../../fixtures/vms.ts';

/* The machines of a cluster, as the steps of a bring-up see them. No Kubernetes. */

const NEVER = new AbortController().signal;
const IMAGE: Digest = `sha256:${'0'.repeat(64)}`;
const SPEC = { cluster: 'vms', run: 'first', image: IMAGE };

let folder: string;
let parts: VmSandboxParts;
let disk: Awaited<ReturnType<typeof nodeDisk>>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-vm-machines-'));
  parts = await testVms(await toolsTree(), folder);
  disk = await nodeDisk('1.31');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function machinesOf(change: Partial<typeof SPEC> = {}): Machines {
  return knownByName(vmMachines(parts, () => Promise.resolve(disk), { ...SPEC, ...change }));
}

async function output(node: NodeHandle, ...argv: [string, ...string[]]): Promise<string> {
  return (await node.run(argv)).stdout.trim();
}

describe('nodes that are virtual machines', () => {
  let machines: Machines;
  let node01: NodeHandle;
  let node02: NodeHandle;
  const records = (): VmSandboxRecords => new VmSandboxRecords(parts.directories, 'cluster-machines');
  const start = (index: number): Promise<NodeHandle> =>
    machines.start({ name: `node0${index}`, addresses: lanAddresses(LAN.families, index), cpus: 2, memory: 2 ** 30 }, NEVER);

  beforeAll(async () => {
    machines = machinesOf();
    expect(await machines.list()).toEqual([]);
    expect(await machines.network(LAN.families, NEVER)).toEqual({ ipv4: '192.168.66.0/24', ipv6: 'fd00::/64', firstHost: 100 });
    [node01, node02] = await Promise.all([start(1), start(2)]);
  });

  afterAll(() => machines[Symbol.asyncDispose]());

  it('know each other by name and reach each other by both families', async () => {
    for (const address of ['node02', '192.168.66.102', 'fd00::102']) {
      expect(await output(node01, 'bash', '-c', 'exec 3<>"/dev/tcp/$1/22" && head -c 4 <&3', 'bash', address)).toBe('SSH-');
    }
    expect(await output(node02, 'hostname')).toBe('node02');
    await expect(machines.network(LAN.families, NEVER)).resolves.toMatchObject({ ipv4: '192.168.66.0/24', ipv6: 'fd00::/64' });
  });

  it('are found by another process', async () => {
    await using again = machinesOf();
    expect(await again.list()).toEqual(['node01', 'node02'].map((name) => ({ name, state: 'running' })));
    expect(await output(await again.node('node02'), 'hostname')).toBe('node02');
    expect(await again.console('node01')).toContain('Linux version');
    await expect(again.node('node03')).rejects.toMatchObject({ code: 'node-not-found' });
  });

  it('are reached from loopback, and from each other through a balancer', async () => {
    const target = (index: number) => ({ address: lanAddresses(['ipv4'], index).ipv4 ?? '', port: 22 });
    const port = await machines.forward('ssh', [target(1)], NEVER);
    expect(port.host).toBe('127.0.0.1');
    expect(await greeting(port.port)).toMatch(/^SSH-/);
    expect(await machines.forward('ssh', [target(2)], NEVER)).toEqual(port);
    expect(await machines.balance(2222, [target(1), target(2)], NEVER)).toEqual({ ipv4: '192.168.66.1', ipv6: 'fd00::1' });
    for (const host of ['192.168.66.1', 'fd00::1']) {
      await until(
        async () =>
          (await node02.run(['bash', '-c', 'exec 3<>"/dev/tcp/$1/2222" && head -c 4 <&3', 'bash', host], { accept: [1] })).stdout ===
          'SSH-',
      );
    }
  });

  it('stop in order and start again with what they kept', async () => {
    await node02.write([{ path: '/var/lib/kept', content: 'kept' }]);
    await machines.stop('node02', NEVER);
    await machines.stop('node02', NEVER);
    expect(await machines.list()).toEqual([
      { name: 'node01', state: 'running' },
      { name: 'node02', state: 'stopped' },
    ]);
    await expect(machines.node('node02')).rejects.toMatchObject({ code: 'node-stopped' });
    node02 = await start(2);
    expect(await output(node02, 'cat', '/var/lib/kept')).toBe('kept');
  });

  it('are found again after all was killed, as after a reboot of the host', async () => {
    await node02.run(['sync']);
    const pid = pidOf((await records().find('vms'))!.sandbox);
    process.kill(pid, 'SIGKILL');
    await until(() => Promise.resolve(!existsSync(`/proc/${pid}`)));
    await machines[Symbol.asyncDispose]();
    machines = machinesOf();
    expect(await machines.list()).toEqual(['node01', 'node02'].map((name) => ({ name, state: 'stopped' })));
    node02 = await start(2);
    expect(await output(node02, 'cat', '/var/lib/kept')).toBe('kept');
  });

  it('go one by one, and then all of them', async () => {
    await machines.remove('node01');
    await machines.remove('node01');
    expect(await machines.list()).toEqual([{ name: 'node02', state: 'running' }]);
    const record = (await records().find('vms'))!;
    const namespaces = await namespacesOf(pidOf(record.sandbox));
    await machines.destroy();
    await machines.destroy();
    expect(await processesIn(namespaces)).toEqual([]);
    expect(existsSync(record.folder)).toBe(false);
    expect(await machines.list()).toEqual([]);
    expect(await parts.ledger.entries()).toEqual([]);
  });

  it('of an earlier life of the cluster make way', async () => {
    await using earlier = machinesOf({ run: 'earlier' });
    await earlier.network(['ipv4'], NEVER);
    await using later = machinesOf({ run: 'later' });
    expect(await later.list()).toEqual([]);
    expect(await later.network(['ipv6'], NEVER)).toEqual({ ipv6: 'fd00::/64', firstHost: 100 });
    expect(await earlier.list()).toEqual([]);
    await later.destroy();
  });
});
