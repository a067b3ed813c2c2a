import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { sha256 } from '../../core/digest.ts';
import { Secret } from '../../core/secrets.ts';
import { systemClock } from '../../host/clock.ts';
import { fileLedger } from '../../host/ledger.ts';
import { readTemplates } from '../../image/sources.ts';
import type { DetachedSandbox, NamespacesRecord, Sandboxes } from '../../sandbox/types.ts';
import type { Machines } from '../types.ts';
import { vmMachines } from './vm-machines.ts';
import { type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';
import type { VmSandboxParts } from './vm-sandbox.ts';

const NEVER = new AbortController().signal;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-vm-machines-'));
});

afterEach(() => rm(folder, { recursive: true }));

/** Sandboxes in memory, in which every command does well, but one that never answers. */
class FakeSandboxes implements Pick<Sandboxes, 'startDetached' | 'find'> {
  readonly running = new Map<number, readonly string[][]>();
  hangsAt: string | undefined;
  /** Called when somebody waits for the one that never answers. */
  onHang: () => void = () => undefined;
  #last = 0;

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
      outside: (path) => path,
      run: (argv) => {
        this.running.set(record.pid, [...(this.running.get(record.pid) ?? []), [...argv]]);
        if (argv[0] !== this.hangsAt) return Promise.resolve({ argv, exitCode: 0, stdout: '', stderr: '', ms: 1 });
        this.onHang();
        return new Promise(() => undefined);
      },
      end: () => {
        this.running.delete(record.pid);
        return Promise.resolve();
      },
    };
  }
}

/** The machines of a cluster, in a process of its own. */
async function machinesIn(sandboxes: FakeSandboxes): Promise<Machines> {
  const directories = { cache: join(folder, 'cache'), state: join(folder, 'state') };
  const parts = {
    sandboxes,
    directories,
    // A process that is killed leaves none.
    locks: { exclusive: () => Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve() }) },
    ledger: fileLedger(directories),
    ssh: { newKeyPair: () => ({ privateKey: new Secret('x'), publicKey: 'y' }) },
    templates: await readTemplates(new URL('../../../templates', import.meta.url).pathname),
    architecture: 'amd64',
    clock: systemClock,
    events: () => undefined,
  } as unknown as VmSandboxParts;
  const spec = { cluster: 'lab', run: 'one', image: sha256('image'), acceleration: 'emulation' } as const;
  return vmMachines(parts, () => Promise.resolve({ path: join(folder, 'disk.qcow2') }), spec);
}

const recorded = (): Promise<VmSandboxRecord | undefined> =>
  new VmSandboxRecords({ state: join(folder, 'state') }, 'cluster-machines').find('lab');

describe('a kvci that was killed while it made the network of a cluster', () => {
  let sandboxes: FakeSandboxes;
  let next: Machines;

  beforeEach(async () => {
    sandboxes = new FakeSandboxes();
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
