import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { type DiskSource, filesOfDisk } from '../../../src/machine/qemu/disk-source.ts';
import { startVm, type VmSpec } from '../../../src/machine/qemu/start-vm.ts';
import { openVm, type Vm } from '../../../src/machine/qemu/vm.ts';
import { VmSandboxRecords } from '../../../src/machine/qemu/vm-record.ts';
import { findVmSandbox, startVmSandbox, type VmSandbox, type VmSandboxParts } from '../../../src/machine/qemu/vm-sandbox.ts';
import type { NodeHandle } from '../../../src/machine/types.ts';
import { nodeContract } from '../../fixtures/node-contract.ts';
import { pidOf } from '../../fixtures/sandbox-pid.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { namespacesOf, processesIn, until } from '../../fixtures/traces.ts';
import { LAN, nodeDisk, sandboxRequest, testVms } from '../../fixtures/vms.ts';

const NEVER = new AbortController().signal;

/** For a hang: an emulated machine beside others takes minutes. */
const BOOT_MS = 15 * 60_000;

let folder: string;
let parts: VmSandboxParts;
let disk: DiskSource;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-vms-'));
  parts = await testVms(await toolsTree(), folder);
  disk = await nodeDisk('1.31');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function spec(change: Partial<VmSpec> = {}): VmSpec {
  return {
    name: 'node01',
    addresses: lanAddresses(LAN.families, 1),
    cpus: 2,
    memory: 2 * 2 ** 30,
    disk,
    firmware: 'direct',
    acceleration: 'auto',
    kernelArguments: [],
    hostKey: 'given',
    ...change,
  };
}

async function output(node: NodeHandle, ...argv: [string, ...string[]]): Promise<string> {
  return (await node.run(argv)).stdout.trim();
}

describe('a virtual machine', () => {
  let sandbox: VmSandbox;
  let vm: Vm;
  let node: NodeHandle;

  beforeAll(async () => {
    sandbox = await startVmSandbox(parts, sandboxRequest('one', filesOfDisk(disk)));
    vm = await startVm(parts, sandbox, spec({ diskSize: 12e9 }), NEVER);
    node = await vm.node(BOOT_MS, NEVER);
  });

  afterAll(() => sandbox.end());

  it('has the name, the addresses and the host key that it was given', async () => {
    expect(await output(node, 'hostname')).toBe('node01');
    const shown = await output(node, 'ip', 'address');
    expect(shown).toContain(' 192.168.66.101/24 ');
    expect(shown).toContain(' fd00::101/128 ');
    expect(await output(node, 'cat', '/etc/ssh/ssh_host_ed25519_key.pub')).toBe(vm.record.hostKey?.publicKey);
    expect(await output(node, 'stat', '--format=%a', '/etc/ssh/ssh_host_ed25519_key', '/run/kvci/authorized_keys')).toBe('600\n600');
    expect(await output(node, 'getent', 'hosts', 'node01')).toContain('node01');
    expect(vm.record.accelerator).toMatch(/^(kvm|tcg)$/);
    expect(await vm.console()).toContain('Linux version');
  });

  it('has a disk of its own, of the size asked for, and a root that has grown to it', async () => {
    expect(Number(await output(node, 'blockdev', '--getsize64', '/dev/vda'))).toBe(12e9);
    await node.run(['systemctl', 'is-system-running', '--wait'], { accept: [1] });
    expect(Number(await output(node, 'findmnt', '--bytes', '--noheadings', '--output', 'SIZE', '/var'))).toBeGreaterThan(11e9);
  });

  describe('as a node', () => {
    nodeContract({ node: () => node, other: () => node, bytes: 5_000_000 });
  });

  it('is entered by others at the same time, and only by its own host key', async () => {
    const again = await findVmSandbox(parts, 'one');
    const record = again.record.machines['node01']!;
    await using other = await openVm(parts, again, 'node01', record);
    expect(await output(await other.node(BOOT_MS, NEVER), 'echo', 'there')).toBe('there');
    await using wrong = await openVm(parts, again, 'node01', { ...record, hostKey: parts.ssh.newKeyPair('other') });
    await expect(wrong.node(BOOT_MS, NEVER)).rejects.toMatchObject({ code: 'host-key-differs' });
  });

  it('comes again after a reboot, with what it kept', async () => {
    await node.write([{ path: '/var/lib/kept', content: 'kept\n' }]);
    const before = await output(node, 'cat', '/proc/sys/kernel/random/boot_id');
    node = await vm.reboot(BOOT_MS, NEVER);
    expect(await output(node, 'cat', '/proc/sys/kernel/random/boot_id')).not.toBe(before);
    expect(await output(node, 'cat', '/var/lib/kept', '/etc/ssh/ssh_host_ed25519_key.pub')).toBe(`kept\n${vm.record.hostKey?.publicKey}`);
  });

  it('that is killed says so, and starts again from its disk', async () => {
    await node.run(['sync']);
    const running = node.run(['sleep', '1000']);
    const lost = expect(running).rejects.toMatchObject({ code: 'ssh-lost' });
    await sandbox.runner.run(['pkill', '-KILL', 'qemu-system']);
    await vm.ended;
    await expect(openVm(parts, sandbox, 'node01', vm.record)).rejects.toMatchObject({ code: 'machine-ended' });
    await expect(vm.node(BOOT_MS, NEVER)).rejects.toMatchObject({ code: 'machine-ended' });
    await vm[Symbol.asyncDispose]();
    await lost;
    vm = await startVm(parts, sandbox, spec(), NEVER);
    node = await vm.node(BOOT_MS, NEVER);
    expect(await output(node, 'cat', '/var/lib/kept')).toBe('kept');
  });

  it('shuts down in order', async () => {
    await vm.stop(NEVER);
    expect(await vm.console()).toMatch(/Power down|Power-Off/i);
  });

  it('leaves nothing when its sandbox ends', async () => {
    const { record } = sandbox;
    const namespaces = await namespacesOf(pidOf(record.sandbox));
    expect(await processesIn(namespaces)).not.toEqual([]);
    await sandbox.end();
    expect(await processesIn(namespaces)).toEqual([]);
    expect(existsSync(record.folder)).toBe(false);
    expect(await new VmSandboxRecords(parts.directories).list()).toEqual([]);
    expect(await readdir(join(parts.directories.state, 'ledger'))).toEqual([]);
    await expect(findVmSandbox(parts, 'one')).rejects.toMatchObject({ code: 'machine-not-found', exitCode: 5 });
  });
});

describe('a machine that cannot be', () => {
  let sandbox: VmSandbox;
  let noTable: string;
  let noLoader: string;
  let foreign: string;

  beforeAll(async () => {
    noTable = join(folder, 'no-table.raw');
    noLoader = join(folder, 'no-loader.raw');
    foreign = join(folder, 'foreign-kernel');
    await writeFile(noTable, '');
    await truncate(noTable, 1e6);
    // A boot sector that hands back to the BIOS: INT 18h.
    await writeFile(noLoader, Buffer.concat([Buffer.from([0xcd, 0x18]), Buffer.alloc(508), Buffer.from([0x55, 0xaa])]));
    await truncate(noLoader, 10e6);
    await writeFile(foreign, Buffer.concat([Buffer.alloc(0x38), Buffer.from('ARMd'), Buffer.alloc(1000)]));
    sandbox = await startVmSandbox(parts, sandboxRequest('bad', [...filesOfDisk(disk), noTable]));
  });

  afterAll(() => sandbox.end());

  const kernel = (path: string): DiskSource => ({ path: noTable, directBoot: { kernel: path, initramfs: path, arguments: '' } });

  it.each<[string, () => Partial<VmSpec>, string, number]>([
    ['larger than the host', () => ({ memory: 2 ** 50 }), 'not-enough-memory', 3],
    ['of a file that is no disk', () => ({ disk: { path: noTable }, firmware: 'uefi' }), 'bad-disk', 1],
    ['of another architecture', () => ({ disk: kernel(foreign) }), 'disk-architecture', 3],
    ['with a disk that is smaller than its content', () => ({ diskSize: 1e6 }), 'disk-too-small', 2],
    ['started directly without a kernel', () => ({ disk: { path: disk.path } }), 'no-kernel', 2],
  ])('%s', async (_what, change, code, exitCode) => {
    const name = `bad-${code}`;
    await expect(startVm(parts, sandbox, spec({ name, ...change() }), NEVER)).rejects.toMatchObject({ code, exitCode });
  });

  it.each(['uefi', 'bios'] as const)('booted by %s without a boot loader: the console tells', async (firmware) => {
    const name = `no-loader-${firmware}`;
    await using vm = await startVm(
      parts,
      sandbox,
      spec({
        name,
        firmware,
        disk: { path: noLoader },
        memory: 2 ** 29,
        addresses: lanAddresses(LAN.families, firmware === 'uefi' ? 2 : 3),
      }),
      NEVER,
    );
    await expect(vm.node(BOOT_MS, NEVER)).rejects.toMatchObject({
      code: 'machine-not-reachable',
      exitCode: 1,
      facts: { cause: 'no-bootable-device' },
    });
    await vm.kill();
  });

  it('without its firmware, or a network device', async () => {
    await sandbox.runner.run(['rm', '-r', '/usr/share/OVMF', '/usr/share/AAVMF'], { accept: [1] });
    await expect(
      startVm(parts, sandbox, spec({ name: 'no-firmware', firmware: 'uefi', disk: { path: noLoader } }), NEVER),
    ).rejects.toMatchObject({
      code: 'no-firmware',
      exitCode: 3,
    });
    await sandbox.runner.run(['umount', '/dev/net/tun']);
    await expect(startVm(parts, sandbox, spec({ name: 'no-tun' }), NEVER)).rejects.toMatchObject({ code: 'no-tun', exitCode: 3 });
  });

  it('with a name that is taken', async () => {
    await expect(startVmSandbox(parts, sandboxRequest('bad', []))).rejects.toMatchObject({ code: 'name-taken', exitCode: 5 });
  });

  it('in a sandbox that was killed: it has ended, and goes', async () => {
    const kept = await startVmSandbox(parts, sandboxRequest('kept', [], { keep: true }));
    const pid = pidOf(kept.record.sandbox);
    process.kill(pid, 'SIGKILL');
    await until(() => Promise.resolve(!existsSync(`/proc/${pid}`)));
    await expect(findVmSandbox(parts, 'kept')).rejects.toMatchObject({ code: 'machine-ended', exitCode: 5 });
    expect(existsSync(kept.record.folder)).toBe(true);
    await kept.end();
    expect(existsSync(kept.record.folder)).toBe(false);
    expect(await readdir(dirname(kept.record.folder))).toHaveLength(1);
    expect(await readFile(new VmSandboxRecords(parts.directories).path('bad'), 'utf8')).toContain('PRIVATE KEY');
  });
});
