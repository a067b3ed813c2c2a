import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { VmSandboxRecords } from '../../../src/machine/qemu/vm-record.ts';
import type { VmSandboxParts } from '../../../src/machine/qemu/vm-sandbox.ts';
import type { MachineSnapshots, SavedMachines } from '../../../src/machine/saved-machines.ts';
import type { Machines, NodeHandle } from '../../../src/machine/types.ts';
import { run } from '../../cli/run-kvci.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { resetTraces } from '../../fixtures/reset-traces.ts';
import { AT_ONCE, savedMachinesOf, TWO } from '../../fixtures/saved-vms.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { until } from '../../fixtures/traces.ts';
import { LAN, nodeDisk, testVms } from '../../fixtures/vms.ts';

/* Machines that are saved as they run, and go on as several. No Kubernetes. */

const NEVER = new AbortController().signal;
/** KVCI_TEST_RESETS=100 takes as many. */
const RESETS = Number(process.env['KVCI_TEST_RESETS'] ?? '10');
const CHILD = new URL('../../fixtures/save-child.ts', import.meta.url).pathname;

let folder: string;
let tools: string;
let parts: VmSandboxParts;
let disk: Awaited<ReturnType<typeof nodeDisk>>;
let one: Machines & { readonly snapshots: MachineSnapshots };
let saved: SavedMachines;
const begun: Machines[] = [];
const at = (name: string): string => join(folder, 'cache', 'saved', name);

function cluster(name: string): typeof one {
  const machines = savedMachinesOf(parts, disk, name);
  begun.push(machines);
  return machines;
}

async function bash(node: NodeHandle, script: string): Promise<string> {
  return (await node.run(['bash', '-c', script])).stdout.trim();
}

const count = async (node: NodeHandle): Promise<number> => Number(await bash(node, 'cat /run/count'));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-saved-'));
  tools = await toolsTree();
  parts = await testVms(tools, folder);
  disk = await nodeDisk('1.36');
  await mkdir(join(folder, 'cache', 'saved'));
  one = cluster('one');
  await one.network(LAN.families, NEVER);
  await one.schedule(NEVER);
  const [first] = await Promise.all(TWO.map((machine) => one.start(machine, NEVER)));
  if (first === undefined) throw new Error('no machine');
  await bash(first, 'echo memory >/run/mark; echo disk >/var/mark; sync');
  await bash(first, '(i=0; while sleep 0.1; do echo $((++i)) >/run/count; done) <&- >&- 2>&- & disown');
  saved = await one.snapshots.save(at('first'), TWO, AT_ONCE, NEVER);
  await one.snapshots.adopt(at('first'), saved, NEVER);
});

afterAll(async () => {
  for (const machines of begun) {
    await machines.destroy();
    await machines[Symbol.asyncDispose]();
  }
  await rm(folder, { recursive: true, force: true });
});

describe('machines that were saved', () => {
  it('go on, with what they have in memory and on disk', async () => {
    const node = await one.node('node01');
    expect(await bash(node, 'cat /run/mark /var/mark')).toBe('memory\ndisk');
    const before = await count(node);
    await until(async () => (await count(node)) > before);
    await bash(node, 'echo later >/var/later; sync');
  });

  it('are flat files, which nobody writes again, and a folder that is nobody else’s', async () => {
    expect((await readdir(at('first'))).toSorted()).toEqual(['node01', 'node02']);
    const memory = await stat(join(at('first'), 'node01', 'memory'));
    expect([memory.size, memory.mode & 0o777]).toEqual([2 ** 30, 0o400]);
    expect(memory.blocks * 512).toBeLessThan(0.7 * 2 ** 30);
    expect((await stat(join(at('first'), 'node01'))).mode & 0o777).toBe(0o700);
    expect(saved.machines['node01']).toMatchObject({ accelerator: 'tcg', board: 'q35', cpuModel: 'max,-smap', disks: 1 });
    expect(saved.files).toEqual([disk.path, disk.directBoot?.kernel, disk.directBoot?.initramfs]);
  });
});

describe('machines that go on from what was saved', () => {
  let two: typeof one;
  let three: typeof one;
  const from = {
    cold: false,
    get folder() {
      return at('first');
    },
  };

  beforeAll(async () => {
    [two, three] = [cluster('two'), cluster('three')];
    for (const copy of [two, three]) await copy.snapshots.restore(saved, { ...from, files: saved.files }, TWO, NEVER);
  });

  it('are as they were at that instant, several side by side', async () => {
    for (const copy of [two, three]) {
      const node = await copy.node('node01');
      expect(await bash(node, 'cat /run/mark /var/mark; ls /var/later 2>&1 | tail -c 12')).toContain('memory\ndisk');
      expect(await bash(node, 'test -e /var/later || echo none')).toBe('none');
      const before = await count(node);
      await until(async () => (await count(node)) > before);
    }
  });

  it('write disks and memory of their own', async () => {
    const [a, b] = [await two.node('node01'), await three.node('node01')];
    await bash(a, 'echo own >/var/own; echo own >/run/own; sync');
    expect(await bash(b, 'ls /var/own /run/own 2>/dev/null; true')).toBe('');
  });

  it('reach each other by both families, and are reached from this host', async () => {
    for (const copy of [two, three]) {
      const node = await copy.node('node01');
      for (const address of ['192.168.66.102', 'fd00::102']) {
        expect(await bash(node, `exec 3<>/dev/tcp/${address}/22 && head -c 4 <&3`)).toBe('SSH-');
      }
    }
    const targets = [{ address: '192.168.66.101', port: 22 }];
    const ports = await Promise.all([two, three].map((copy) => copy.forward('ssh', targets, NEVER)));
    expect(new Set(ports.map(({ port }) => port)).size).toBe(2);
  });

  it('make random numbers of their own', async () => {
    const words = await Promise.all(
      [two, three].map(async (copy) => bash(await copy.node('node02'), 'dmesg | grep -c "virtual machine fork"')),
    );
    expect(words).toEqual(['1', '1']);
  });

  it('can be saved and go back to that', async () => {
    const node = await two.node('node01');
    await bash(node, 'head -c 50M /dev/urandom >/run/bytes; sha256sum </run/bytes >/run/sum');
    const again = await two.snapshots.save(at('second'), TWO, AT_ONCE, NEVER);
    await two.snapshots.adopt(at('second'), again, NEVER);
    expect(again.machines['node01']?.disks).toBe(2);
    await bash(node, 'rm /run/bytes; echo gone >/var/gone; sync');
    await two.snapshots.reset(TWO, NEVER);
    const back = await two.node('node01');
    expect(await bash(back, 'sha256sum </run/bytes | cmp - /run/sum && cat /var/own && test ! -e /var/gone && echo right')).toBe(
      'own\nright',
    );

    const four = cluster('four');
    await four.snapshots.restore(again, { folder: at('second'), files: again.files, cold: false }, TWO, NEVER);
    expect(await bash(await four.node('node01'), 'sha256sum </run/bytes | cmp - /run/sum && cat /var/own && echo right')).toBe(
      'own\nright',
    );
    await four.destroy();
  });

  it(`go back ${RESETS} times in a row, and nothing piles up`, async () => {
    await two.snapshots.reset(TWO, NEVER);
    const before = await resetTraces(parts, 'two');
    for (let round = 0; round < RESETS; round += 1) await two.snapshots.reset(TWO, NEVER);
    expect(await resetTraces(parts, 'two')).toEqual(before);
    expect(await bash(await two.node('node02'), 'echo alive')).toBe('alive');
  });

  it('get new keys, and the ones before count no more', async () => {
    const records = new VmSandboxRecords(parts.directories, 'cluster-machines');
    const before = await records.find('three');
    await three.snapshots.renewKeys(TWO, NEVER);
    const after = await records.find('three');
    expect(after?.key.publicKey).not.toBe(before?.key.publicKey);
    expect(after?.machines['node01']?.hostKey?.publicKey).not.toBe(before?.machines['node01']?.hostKey?.publicKey);
    await using fresh = savedMachinesOf(parts, disk, 'three');
    const node = await fresh.node('node02');
    expect(await bash(node, 'cat /run/kvci/authorized_keys')).toBe(after?.key.publicKey);
    expect(await bash(node, 'cat /etc/ssh/ssh_host_ed25519_key.pub')).toBe(after?.machines['node02']?.hostKey?.publicKey);
  });

  it('keep their new keys when they go back', async () => {
    const records = new VmSandboxRecords(parts.directories, 'cluster-machines');
    const before = await records.find('three');
    await three.snapshots.reset(TWO, NEVER);
    expect((await records.find('three'))?.key.publicKey).toBe(before?.key.publicKey);
    await using fresh = savedMachinesOf(parts, disk, 'three');
    expect(await bash(await fresh.node('node01'), 'cat /run/kvci/authorized_keys')).toBe(before?.key.publicKey);
  });

  it('are refused where they cannot go on, and nothing of them runs', async () => {
    const five = cluster('five');
    const node01 = saved.machines['node01'];
    if (node01 === undefined) throw new Error('no node01');
    for (const change of [
      { qemu: 'QEMU emulator version 9.0.0' },
      { machines: { ...saved.machines, node01: { ...node01, cpuModel: 'Nehalem' } } },
    ]) {
      await expect(
        five.snapshots.restore({ ...saved, ...change }, { folder: at('first'), files: saved.files, cold: false }, TWO, NEVER),
      ).rejects.toMatchObject({ code: 'snapshot-refused', facts: { differing: [expect.any(String)] } });
      expect((await five.list()).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
    }
    await five.destroy();
  });

  it('that cannot read their devices are told', async () => {
    const six = cluster('six');
    await mkdir(at('broken'), { recursive: true });
    await parts.sandboxes.startOverHost({ name: 'copy', signal: NEVER }).then(async (host) => {
      await host.run(['cp', '-a', '--', `${at('first')}/.`, at('broken')]);
      await host[Symbol.asyncDispose]();
    });
    await rm(join(at('broken'), 'node01', 'devices'));
    await using file = await open(join(at('broken'), 'node01', 'devices'), 'w');
    await file.write((await readFile(join(at('first'), 'node01', 'devices'))).subarray(0, 20_000));
    await expect(six.snapshots.restore(saved, { folder: at('broken'), files: saved.files, cold: false }, TWO, NEVER)).rejects.toMatchObject(
      {
        code: 'snapshot-refused',
      },
    );
    await six.destroy();
  });
});

describe('a save that is killed', () => {
  it.each(['.saving', '.saving/node01/memory', '.saving/node01/devices', '.saving/node02/devices'])(
    'when %s is there leaves the machines running, and the next one works',
    async (trace) => {
      const record = await new VmSandboxRecords(parts.directories, 'cluster-machines').find('one');
      const path = join(record?.folder ?? '', trace);
      await rm(join(record?.folder ?? '', '.saving'), { recursive: true, force: true });
      const child = spawn(process.execPath, [CHILD, tools, folder, JSON.stringify(disk), 'one', at('killed')], { stdio: 'ignore' });
      const ended = once(child, 'exit');
      await until(() => Promise.resolve(existsSync(path)));
      child.kill('SIGKILL');
      await ended;
      expect(existsSync(at('killed'))).toBe(false);
      await using again = savedMachinesOf(parts, disk, 'one');
      const node = await again.node('node01');
      const before = await count(node);
      await until(async () => (await count(node)) > before);
    },
  );

  it('of which nothing was adopted changes nothing of what they go back to', async () => {
    const ready = await one.snapshots.save(at('unused'), TWO, AT_ONCE, NEVER);
    expect(ready.machines['node01']?.disks).toBeGreaterThan(1);
    await bash(await one.node('node01'), 'echo newer >/run/mark');
    await one.snapshots.recover(NEVER);
    await one.snapshots.reset(TWO, NEVER);
    const node = await one.node('node01');
    expect(await bash(node, 'cat /run/mark; test -e /var/later || echo none')).toBe('memory\nnone');
    await bash(node, 'echo later >/var/later; sync');
  });

  it('can be made again', async () => {
    const again = await one.snapshots.save(at('again'), TWO, AT_ONCE, NEVER);
    expect(again.machines['node01']?.disks).toBeGreaterThan(1);
    expect(await bash(await one.node('node01'), 'cat /var/later')).toBe('later');
  });
});

describe('a full disk', () => {
  const problem = process.getuid?.() === 0 ? undefined : 'a file system of its own needs root';

  it.skipIf(isMissing('root', problem))('while machines are saved is named, they go on, and can be saved with room there', async () => {
    const own = await mkdtemp(join(tmpdir(), 'kvci-saved-full-'));
    const cache = join(own, 'cache');
    await mkdir(cache);
    expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=3g', 'tmpfs', cache])).code).toBe(0);
    const machines = savedMachinesOf(await testVms(tools, own), disk, 'full');
    try {
      await machines.network(LAN.families, NEVER);
      await machines.schedule(NEVER);
      const [node] = await Promise.all(TWO.map((machine) => machines.start(machine, NEVER)));
      if (node === undefined) throw new Error('no machine');
      await bash(node, '(i=0; while sleep 0.1; do : $((++i)); echo $i | tee /run/count >/var/count; sync; done) <&- >&- 2>&- & disown');
      const filler = join(cache, 'filler');
      const { bavail, bsize } = await statfs(cache);
      // Less than the memory of one of them takes.
      expect((await run('fallocate', ['-l', String(bavail * bsize - 40 * 2 ** 20), filler])).code).toBe(0);
      const to = join(cache, 'saved');
      await expect(machines.snapshots.save(to, TWO, AT_ONCE, NEVER)).rejects.toMatchObject({ code: 'disk-full', exitCode: 3 });
      expect(existsSync(to)).toBe(false);
      await rm(filler);
      await machines.snapshots.recover(NEVER);
      const before = await count(node);
      await until(async () => (await count(node)) > before);
      await machines.snapshots.save(to, TWO, AT_ONCE, NEVER);
      expect((await readdir(to)).toSorted()).toEqual(['node01', 'node02']);
    } finally {
      await machines.destroy();
      await machines[Symbol.asyncDispose]();
      expect((await run('umount', [cache])).code).toBe(0);
      await rm(own, { recursive: true, force: true });
    }
  });
});
