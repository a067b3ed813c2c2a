import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { filesOfDisk } from '../../../src/machine/qemu/disk-source.ts';
import { startVm, type VmSpec } from '../../../src/machine/qemu/start-vm.ts';
import { vmMachines } from '../../../src/machine/qemu/vm-machines.ts';
import { startVmSandbox } from '../../../src/machine/qemu/vm-sandbox.ts';
import type { Machines, NodeHandle } from '../../../src/machine/types.ts';
import { run } from '../../cli/run-kvci.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { LAN, nodeDisk, sandboxRequest, testVms, WITHOUT_KUBERNETES } from '../../fixtures/vms.ts';

/*
 * What goes wrong with virtual machines while they run, and KVM that cannot be had. What keeps a machine from starting at all is in
 * test/full/part-3/virtual-machines.test.ts, a sandbox that is killed in vm-machines.test.ts, faults of clusters in faults.test.ts and
 * mixed-faults.test.ts.
 */

const NEVER = new AbortController().signal;
const IMAGE: Digest = `sha256:${'0'.repeat(64)}`;

let tools: string;
let disk: Awaited<ReturnType<typeof nodeDisk>>;

beforeAll(async () => {
  tools = await toolsTree();
  disk = await nodeDisk('1.36');
});

async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-vm-faults-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function machinesIn(folder: string): Promise<Machines> {
  const machines = vmMachines(await testVms(tools, folder), () => Promise.resolve(disk), { cluster: 'faults', run: 'first', image: IMAGE });
  await machines.network(LAN.families, NEVER);
  return machines;
}

const start = (machines: Machines): Promise<NodeHandle> =>
  machines.start({ name: 'node01', addresses: lanAddresses(LAN.families, 1), memory: 2 ** 30, vm: WITHOUT_KUBERNETES }, NEVER);

describe('a full disk', () => {
  const problem = process.getuid?.() === 0 ? undefined : 'a file system of its own needs root';

  it.skipIf(isMissing('root', problem))('of the host is named, and with room there the machine goes on', async () => {
    const folder = await temporary();
    const own = join(folder, 'cache', 'machines');
    await mkdir(own, { recursive: true });
    expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', own])).code).toBe(0);
    try {
      const machines = await machinesIn(folder);
      // Where it finds room for its boot, it finds none for this.
      const fill = (node: NodeHandle) => node.run(['sh', '-c', 'head -c 16M /dev/urandom >/var/fill && sync']);
      await expect(start(machines).then(fill)).rejects.toMatchObject({
        code: 'disk-full',
        exitCode: 3,
        message: expect.stringContaining('node01 stands still') as string,
        hint: expect.stringContaining(own) as string,
      });
      expect((await run('mount', ['-o', 'remount,size=2g', own])).code).toBe(0);
      expect((await (await start(machines)).run(['hostname'])).stdout).toBe('node01\n');
      await machines.destroy();
      await machines[Symbol.asyncDispose]();
    } finally {
      expect((await run('umount', [own])).code).toBe(0);
    }
  });

  it('of a node is named by what meets it; the node goes on, starts again, and is as before with room there', async () => {
    const machines = await machinesIn(await temporary());
    let node = await start(machines);
    await node.run(['sh', '-c', 'fallocate -l "$(df --output=avail -B1 /var | tail -1)" /var/fill; cat /dev/zero >/var/rest || true']);
    const write = (): Promise<void> => node.write([{ path: '/var/lib/new', content: 'x'.repeat(100_000) }]);
    const full = { code: 'command-failed', message: expect.stringMatching(/on node01:[^]*No space left on device/) as string };
    await expect(write()).rejects.toMatchObject(full);
    // Not half of it, and the host's disk is not taken for the node's.
    expect((await node.run(['ls', '/var/lib/new'], { accept: [2] })).exitCode).toBe(2);
    expect(await machines.list()).toEqual([{ name: 'node01', state: 'running' }]);
    await machines.stop('node01', NEVER);
    node = await start(machines);
    await expect(write()).rejects.toMatchObject(full);
    await node.run(['rm', '/var/fill', '/var/rest']);
    await node.write([{ path: '/var/lib/new', content: 'new' }]);
    expect((await node.run(['cat', '/var/lib/new'])).stdout).toBe('new');
    await machines.destroy();
    await machines[Symbol.asyncDispose]();
  });
});

describe('KVM', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-vm-faults-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  // Whatever this host has. Nobody can open a device that is mounted so, root neither: EACCES, as by its mode for other users.
  const absent = 'umount /dev/kvm; rm -f /dev/kvm';
  const closed = `${absent}; touch /dev/kvm && mount --bind /dev/null /dev/kvm && mount -o remount,bind,nodev /dev/kvm`;

  it.each([
    ['that this host does not have', absent, 'this host has no KVM: machines are emulated'],
    ['that this user may not use', closed, '/dev/kvm is closed to this user: machines are emulated'],
  ])('%s is an error where it was asked for, and emulation elsewhere, which is told', async (_what, change, note) => {
    const said: string[] = [];
    const parts = {
      ...(await testVms(tools, folder)),
      events: (event: { type: string; message?: string }) => said.push(event.message ?? ''),
    };
    await using sandbox = await startVmSandbox(parts, sandboxRequest('no-kvm', filesOfDisk(disk)));
    await sandbox.runner.run(['sh', '-c', change]);
    const spec: VmSpec = {
      name: 'node01',
      addresses: lanAddresses(LAN.families, 1),
      cpus: 1,
      memory: 2 ** 29,
      disk,
      firmware: 'direct',
      acceleration: 'kvm',
      kernelArguments: [],
      hostKey: 'given',
    };
    await expect(startVm(parts, sandbox, spec, NEVER)).rejects.toMatchObject({ code: 'kvm-unusable', exitCode: 3 });
    await using vm = await startVm(parts, sandbox, { ...spec, acceleration: 'auto' }, NEVER);
    expect(vm.record.accelerator).toBe('tcg');
    expect(said.join('\n')).toContain(note);
    await vm.kill();
  });
});
