import { hexOf } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { Locks } from '../host/types.ts';
import { chunksOf } from './kept.ts';
import type { MachineFolders, SnapshotPorts } from './ports.ts';
import type { SnapshotRecord } from './record.ts';
import type { SnapshotStore } from './store.ts';

/** Removes a snapshot. Clusters that came from it go on: they have links of their own. @throws KvciError `snapshot-not-found` */
export async function removeSnapshot(
  name: string,
  { snapshots, locks, clusters }: Pick<SnapshotPorts, 'snapshots' | 'locks' | 'clusters'>,
  { signal, clock }: Pick<RunContext, 'signal' | 'clock'>,
): Promise<void> {
  await using _lock = await locks.exclusive(snapshots.lock(name), { signal });
  // One whose record cannot be read goes, too.
  const damaged = (error: unknown): undefined => {
    if (error instanceof KvciError && ['snapshot-damaged', 'snapshot-of-another-version'].includes(error.code)) return undefined;
    throw error;
  };
  const record = await snapshots.require(name).catch(damaged);
  if (record !== undefined) await refuseInUse(record, snapshots, clusters);
  await snapshots.remove(name, record?.id);
  await withUsed(snapshots, locks, async (used) => {
    if (record !== undefined) await removeThose(record, snapshots, used);
    return removeOld(snapshots, used, clock.now());
  });
}

/**
 * What an imported snapshot stands on is in its own folder: machines of it need that as long as they are there.
 *
 * @throws KvciError `snapshot-in-use`
 */
async function refuseInUse(
  record: SnapshotRecord,
  snapshots: SnapshotStore,
  clusters: () => Promise<readonly MachineFolders[]>,
): Promise<void> {
  const folder = `${snapshots.folder(record)}/`;
  const users = (await clusters()).filter(({ folders }) => folders.some((path) => `${path}/`.startsWith(folder))).map(({ name }) => name);
  if (users.length === 0) return;
  throw new KvciError('notFoundOrExists', 'snapshot-in-use', `clusters stand on the snapshot "${record.name}": ${users.join(', ')}`, {
    hint: `Remove them first: ${users.map((user) => `kvci down ${user}`).join(', ')}`,
    facts: { snapshot: record.name, clusters: users },
  });
}

/** What an import that was cancelled has put down: the next try goes on from there. */
const YOUNG_MS = 60 * 60_000;

/** Removes kept chunks that no snapshot has, and that have been there for a while. Answers bytes. */
export async function removeUnusedChunks(snapshots: SnapshotStore, locks: Locks, now: number): Promise<number> {
  return withUsed(snapshots, locks, (used) => removeOld(snapshots, used, now));
}

/** Removes the chunks of a snapshot that came to nothing, as far as no other has them. */
export async function removeUnusedOf(
  record: Pick<SnapshotRecord, 'files'>,
  { snapshots, locks }: Pick<SnapshotPorts, 'snapshots' | 'locks'>,
): Promise<void> {
  await withUsed(snapshots, locks, async (used) => {
    await removeThose(record, snapshots, used);
    return 0;
  });
}

/**
 * Removes chunks while nobody puts any down; where somebody does, they stay for the next time. So do all where a record cannot be read:
 * nobody knows then which have no snapshot. Answers bytes.
 *
 * @param remove is told which chunks snapshots have
 */
async function withUsed(snapshots: SnapshotStore, locks: Locks, remove: (used: ReadonlySet<string>) => Promise<number>): Promise<number> {
  await using lock = await locks.tryExclusive(snapshots.chunksLock);
  const used = lock === undefined ? undefined : await usedChunks(snapshots);
  return used === undefined ? 0 : await remove(used);
}

function removeOld({ chunks }: SnapshotStore, used: ReadonlySet<string>, now: number): Promise<number> {
  return chunks.removeUnused(used, used.size === 0 ? Number.POSITIVE_INFINITY : now - YOUNG_MS);
}

async function removeThose({ files }: Pick<SnapshotRecord, 'files'>, { chunks }: SnapshotStore, used: ReadonlySet<string>): Promise<void> {
  for (const digest of chunksOf(files)) if (!used.has(hexOf(digest))) await chunks.remove(digest);
}

/** The chunks that snapshots have, by the hexadecimal of their digests; undefined where a record cannot be read. */
async function usedChunks(snapshots: SnapshotStore): Promise<ReadonlySet<string> | undefined> {
  const used = new Set<string>();
  for (const one of await snapshots.list()) {
    if ('error' in one) return undefined;
    for (const digest of chunksOf(one.files)) used.add(hexOf(digest));
  }
  return used;
}
