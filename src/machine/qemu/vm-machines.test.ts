import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { FakeQemu } from '../../../test/fixtures/fake-qemu.ts';
import { sha256 } from '../../core/digest.ts';
import { Secret } from '../../core/secrets.ts';
import { systemClock } from '../../host/clock.ts';
import { fileLedger } from '../../host/ledger.ts';
import type { SshConnection } from '../../host/ssh.ts';
import { readTemplates } from '../../image/sources.ts';
import type { DetachedSandbox, NamespacesRecord, Sandboxes } from '../../sandbox/types.ts';
import type { Machines } from '../types.ts';
import type { Acceleration } from '../vm-options.ts';
import { readVerdict, writeVerdict } from './kvm.ts';
import { vmMachines } from './vm-machines.ts';
import { type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';
import type { VmSandboxParts } from './vm-sandbox.ts';

const NEVER = new AbortController().signal;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-vm-machines-'));
  await writeFile(join(folder, 'disk.qcow2'), '');
});

afterEach(() => rm(folder, { recursive: true }));

/** Sandboxes in memory, in which every command does well, but one that never answers. */
class FakeSandboxes implements Pick<Sandboxes, 'startDetached' | 'find'> {
  readonly running = new Map<number, readonly string[][]>();
  /** Where their sockets are. */
  readonly folder: string;
  hangsAt: string | undefined;
  /** What a command prints, or its exit code. */
  answer: (argv: readonly string[]) => string | number | undefined | Promise<string | number | undefined> = () => undefined;
  /** Called when somebody waits for the one that never answers. */
  onHang: () => void = () => undefined;
  #last = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  startDetached: Sandboxes['startDetached'] = async (_request, keep) => {
    const record: NamespacesRecord = { name: 'x', pid: (this.#last += 1), startTime: 'b/1', namespace: 'pid:[1]', network: 'private' };
    this.running.set(record.pid, []);
    await keep(record);
    return this.#open(record);
  };

  find: Sandboxes['find'] = (record) =>
    Promise.resolve(record.kind !== 'container' && this.running.has(record.pid) ? this.#open(record) : undefined);

  #open(record: NamespacesRecord): DetachedSandbox {
    return {
      where: 'x',
      record,
      outside: (path) => join(this.folder, basename(path)),
      run: async (argv) => {
        this.running.set(record.pid, [...(this.running.get(record.pid) ?? []), [...argv]]);
        if (argv[0] === this.hangsAt) {
          this.onHang();
          return new Promise(() => undefined);
        }
        const answer = await this.answer(argv);
        const [exitCode, stdout] = typeof answer === 'number' ? [answer, ''] : [0, answer ?? ''];
        return { argv, exitCode, stdout, stderr: '', ms: 1 };
      },
      end: () => {
        this.running.delete(record.pid);
        return Promise.resolve();
      },
    };
  }
}

/** To a machine that answers. */
const CONNECTION: SshConnection = {
  alive: true,
  busy: 0,
  closed: new Promise(() => undefined),
  exec: () => Promise.resolve(0),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** The machines of a cluster, in a process of its own. */
async function machinesIn(sandboxes: FakeSandboxes, acceleration: Acceleration = 'emulation'): Promise<Machines> {
  const directories = { cache: join(folder, 'cache'), state: join(folder, 'state') };
  const parts = {
    sandboxes,
    directories,
    // A process that is killed leaves none.
    locks: { exclusive: () => Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve() }) },
    ledger: fileLedger(directories),
    ssh: { newKeyPair: () => ({ privateKey: new Secret('x'), publicKey: 'y' }), connect: () => Promise.resolve(CONNECTION) },
    templates: await readTemplates(new URL('../../../templates', import.meta.url).pathname),
    architecture: 'amd64',
    memoryAvailable: () => Promise.resolve(2 ** 40),
    clock: systemClock,
    events: () => undefined,
  } as unknown as VmSandboxParts;
  const spec = { cluster: 'lab', run: 'one', image: sha256('image'), acceleration } as const;
  return vmMachines(parts, () => Promise.resolve({ path: join(folder, 'disk.qcow2') }), spec);
}

const recorded = (): Promise<VmSandboxRecord | undefined> =>
  new VmSandboxRecords({ state: join(folder, 'state') }, 'cluster-machines').find('lab');

describe('a kvci that was killed while it made the network of a cluster', () => {
  let sandboxes: FakeSandboxes;
  let next: Machines;

  beforeEach(async () => {
    sandboxes = new FakeSandboxes(folder);
    sandboxes.hangsAt = 'dnsmasq';
    const killed = new Promise<void>((resolve) => (sandboxes.onHang = resolve));
    void (await machinesIn(sandboxes)).network(['ipv4'], NEVER);
    await killed;
    sandboxes.hangsAt = undefined;
    next = await machinesIn(sandboxes);
  });

  it('has left nothing that prune would take from whoever goes on', async () => {
    expect((await recorded())?.sandbox).toMatchObject({ pid: 1 });
    expect(await fileLedger({ state: join(folder, 'state') }).entries()).toEqual([]);
  });

  it('has left what the next one makes anew', async () => {
    expect(await next.network(['ipv4'], NEVER)).toMatchObject({ ipv4: '192.168.66.0/24' });
    expect(await next.schedule(NEVER)).toBe('in-turn');
    expect([...sandboxes.running.keys()]).toEqual([2]);
    expect(sandboxes.running.get(2)?.map(([program]) => program)).toContain('haproxy');
    // From then on it is found, and stays.
    expect(await (await machinesIn(sandboxes)).schedule(NEVER)).toBe('in-turn');
    expect([...sandboxes.running.keys()]).toEqual([2]);
  });

  it('is not disturbed by whoever only looks', async () => {
    expect(await next.list()).toEqual([]);
    expect([...sandboxes.running.keys()]).toEqual([1]);
  });

  it('may have got no further than its record', async () => {
    const { sandbox: _sandbox, ...record } = (await recorded())!;
    await new VmSandboxRecords({ state: join(folder, 'state') }, 'cluster-machines').write(record);
    await rm(record.folder, { recursive: true });
    await next.network(['ipv4'], NEVER);
    await next.schedule(NEVER);
    expect(existsSync(record.folder)).toBe(true);
  });
});

it.each<[string, (record: VmSandboxRecord) => string]>([
  ['of its nodes', ({ folder: own }) => join(own, 'node01')],
  ['that they are made of', () => join(folder, 'disk.qcow2')],
])('a cluster is told which disk %s is gone with the cache', async (_what, lost) => {
  const sandboxes = new FakeSandboxes(folder);
  await (await machinesIn(sandboxes)).network(['ipv4'], NEVER);
  sandboxes.running.clear();
  const record = (await recorded())!;
  const node01 = { addresses: {}, accelerator: 'tcg', firmware: 'uefi', cpus: 1, memory: 2 ** 30 } as const;
  await new VmSandboxRecords({ state: join(folder, 'state') }, 'cluster-machines').write({ ...record, machines: { node01 } });
  await mkdir(join(record.folder, 'node01'));
  expect(await (await machinesIn(sandboxes)).schedule(NEVER)).toBe('in-turn');
  sandboxes.running.clear();
  await rm(lost(record), { recursive: true });
  const scheduled = (await machinesIn(sandboxes)).schedule(NEVER);
  await expect(scheduled).rejects.toMatchObject({ code: 'disks-lost', exitCode: 5, facts: { path: lost(record) } });
});

describe('a cluster that was made under KVM', () => {
  const QEMU = 'QEMU emulator version 10.0.2';
  let sandboxes: FakeSandboxes;
  let device: 'usable' | 'absent';

  beforeEach(async () => {
    sandboxes = new FakeSandboxes(folder);
    device = 'usable';
    sandboxes.answer = (argv) => {
      if (argv.includes('--version')) return `${QEMU}\n`;
      return argv.includes('/dev/kvm') && device === 'absent' ? 1 : undefined;
    };
    await (await machinesIn(sandboxes)).network(['ipv4'], NEVER);
    const record = (await recorded())!;
    const node01 = { addresses: { ipv4: '192.168.66.101' }, accelerator: 'kvm', firmware: 'uefi', cpus: 1, memory: 2 ** 30 } as const;
    await new VmSandboxRecords({ state: join(folder, 'state') }, 'cluster-machines').write({ ...record, machines: { node01 } });
    await mkdir(join(record.folder, 'node01'));
    await writeVerdict(join(folder, 'state'), { qemu: QEMU, usable: true, reason: 'a kernel has started under it' });
  });

  const schedule = async (acceleration: Acceleration): Promise<string> => (await machinesIn(sandboxes, acceleration)).schedule(NEVER);

  it('has it as long as it is there', async () => {
    expect(await schedule('auto')).toBe('together');
    device = 'absent';
    expect(await schedule('auto')).toBe('in-turn');
    expect(await schedule('kvm')).toBe('together');
  });

  it('and has failed in the meantime is emulated', async () => {
    await writeVerdict(join(folder, 'state'), { qemu: QEMU, usable: false, reason: 'node02 was ended by an internal error of QEMU' });
    expect(await schedule('auto')).toBe('in-turn');
  });

  it('starts a node anew that KVM has failed while nobody watched', async () => {
    const qemu = new FakeQemu(folder);
    onTestFinished(() => {
      qemu.end();
    });
    await qemu.listen();
    qemu.status = 'internal-error';
    const started: string[] = [];
    const answer = sandboxes.answer;
    sandboxes.answer = async (argv) => {
      const line = argv.join(' ');
      if (line.includes('/qemu.pid; do')) return qemu.running ? 'node01\n' : '';
      if (line.includes('kill -0')) return qemu.running ? 0 : 1;
      if (argv[1] === 'info') return '{"format": "qcow2", "virtual-size": 1024}';
      if (!argv[0]?.startsWith('qemu-system') || argv.includes('--version')) return answer(argv);
      started.push(/accel=(\w+)/.exec(line)?.[1] ?? '');
      qemu.status = 'running';
      await qemu.listen();
      return undefined;
    };
    await using machines = await machinesIn(sandboxes, 'auto');
    const node = await machines.start({ name: 'node01', addresses: { ipv4: '192.168.66.101' } }, NEVER);
    expect(node.name).toBe('node01');
    expect(started).toEqual(['tcg']);
    expect(qemu.asked).toContain('quit');
    expect(await readVerdict(join(folder, 'state'))).toMatchObject({ usable: false });
    expect((await recorded())?.machines['node01']?.accelerator).toBe('tcg');
  });
});
