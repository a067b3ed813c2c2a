import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { KvciError } from '../../core/errors.ts';
import { Secret } from '../../core/secrets.ts';
import type { DetachedSandbox, SandboxRecord, Sandboxes } from '../../sandbox/types.ts';
import { removeLostVms } from './lost-vms.ts';
import { foldersOfVms, removeEndedVms, vmReapers } from './reaper.ts';
import { sourceOf, type VmOwner, type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

let state: string;

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'kvci-vm-reaper-'));
});

afterEach(() => rm(state, { recursive: true }));

const sandbox = (pid: number): SandboxRecord => ({
  name: 'x',
  pid,
  startTime: 'b/1',
  namespace: 'pid:[1]',
  network: 'private',
  tools: `/tools/${pid}`,
});

/** Those of these pids run; which of them are ended is told. */
function running(pids: readonly number[]): Pick<Sandboxes, 'find'> & { readonly ended: number[] } {
  const ended: number[] = [];
  return {
    ended,
    find: (record) => {
      if (record.kind === 'container') return Promise.resolve(undefined);
      const found: DetachedSandbox = {
        where: 'x',
        record,
        outside: (path) => path,
        run: () => Promise.reject(new Error('nothing is run')),
        end: () => {
          ended.push(record.pid);
          return Promise.resolve();
        },
      };
      return Promise.resolve(pids.includes(record.pid) ? found : undefined);
    },
  };
}

async function record(name: string, change: Partial<VmSandboxRecord>, owner?: VmOwner): Promise<VmSandboxRecord> {
  const written: VmSandboxRecord = {
    version: 1,
    name,
    createdAt: '2026-11-26T10:00:00.000Z',
    source: 'x',
    folder: join(state, 'cache', name),
    lan: { families: ['ipv4'], routerAdvertisements: true, dhcpDelaySeconds: 0 },
    key: { privateKey: new Secret('x'), publicKey: 'y' },
    keep: true,
    binds: [{ host: `/disks/${name}`, inside: '/files/0' }],
    machines: {},
    ...change,
  };
  await mkdir(written.folder, { recursive: true });
  await new VmSandboxRecords({ state }, owner).write(written);
  return written;
}

it('machines of a killed kvci go, with their folder and their record', async () => {
  const { folder } = await record('killed', { keep: false, sandbox: sandbox(1) });
  const sandboxes = running([1]);
  const [reaper] = vmReapers(sandboxes);
  const resource = { folder, record: new VmSandboxRecords({ state }).path('killed') };
  expect(reaper?.describe(resource)).toContain(folder);
  await reaper?.reap(resource);
  await reaper?.reap(resource);
  expect(sandboxes.ended).toEqual([1]);
  expect(existsSync(folder)).toBe(false);
  expect(await new VmSandboxRecords({ state }).list()).toEqual([]);
});

it('whoever has the name by now keeps it', async () => {
  await record('name', { sandbox: sandbox(2) });
  const sandboxes = running([2]);
  await vmReapers(sandboxes)[0]?.reap({ folder: join(state, 'cache/older'), record: new VmSandboxRecords({ state }).path('name') });
  expect(sandboxes.ended).toEqual([]);
  expect(await new VmSandboxRecords({ state }).list()).toHaveLength(1);
});

it('of those that were to stay only the ended ones go, and none of a cluster', async () => {
  await record('runs', { sandbox: sandbox(1) });
  await record('ended', { sandbox: sandbox(2) });
  await record('starts', {});
  await record('cluster', { sandbox: sandbox(3) }, 'cluster-machines');
  expect(await removeEndedVms({ state }, running([1]))).toEqual({ removed: ['what was left of the machine ended'], failed: [] });
  expect((await new VmSandboxRecords({ state }).list()).map(({ name }) => name)).toEqual(['runs', 'starts']);
  expect(await new VmSandboxRecords({ state }, 'cluster-machines').list()).toHaveLength(1);
});

it('a record that cannot be read is told, and the others are gone through', async () => {
  await record('ended', { sandbox: sandbox(2) });
  await writeFile(new VmSandboxRecords({ state }).path('broken'), '{');
  const { removed, failed } = await removeEndedVms({ state }, running([]));
  expect(removed).toEqual(['what was left of the machine ended']);
  expect(failed).toMatchObject([{ code: 'bad-state-file', message: expect.stringContaining('broken.json') as string }]);
  // What it needs is not known, so that nothing may be removed under it.
  await expect(foldersOfVms({ state }, running([]))).rejects.toMatchObject({ code: 'bad-state-file' });
});

it('disks stay while machines are made of them, and the tools image while they run', async () => {
  await record('runs', { sandbox: sandbox(1) });
  await record('cluster', { sandbox: sandbox(3) }, 'cluster-machines');
  expect((await foldersOfVms({ state }, running([1]))).toSorted()).toEqual(['/disks/cluster', '/disks/runs', '/tools/1']);
});

it('the engine of a sandbox that is a container need not answer to be asked for folders', async () => {
  const boxed: SandboxRecord = { kind: 'container', name: 'x', id: 'a', engine: '/gone.sock', network: 'private', folder: '/run/a' };
  await record('boxed', { kind: 'container', sandbox: boxed });
  const dead: Pick<Sandboxes, 'find'> = { find: () => Promise.reject(new KvciError('hostNotReady', 'engine-unreachable', 'it is gone')) };
  expect(await foldersOfVms({ state }, dead)).toEqual(['/disks/boxed']);
});

it('machines of lost clusters go, whatever record beside them cannot be read', async () => {
  await record('lost', { sandbox: sandbox(1) }, 'cluster-machines');
  await record('busy', { sandbox: sandbox(2) }, 'cluster-machines');
  await record('lives', { sandbox: sandbox(3), source: sourceOf({ cluster: 'lives', run: 'r' }) }, 'cluster-machines');
  await writeFile(new VmSandboxRecords({ state }, 'cluster-machines').path('broken'), '{');
  const sandboxes = running([1, 2, 3]);
  const parts = { directories: { state, cache: join(state, 'cache') }, sandboxes: sandboxes as Sandboxes & typeof sandboxes };
  const { removed, failed } = await removeLostVms(parts, (cluster) =>
    Promise.resolve(
      cluster === 'busy' ? undefined : { run: cluster === 'lives' ? 'r' : undefined, [Symbol.asyncDispose]: () => Promise.resolve() },
    ),
  );
  expect(removed).toEqual(['virtual machines of the cluster "lost", whose state is lost']);
  expect(failed).toMatchObject([{ code: 'bad-state-file', message: expect.stringContaining('broken.json') as string }]);
  expect(sandboxes.ended).toEqual([1]);
});
