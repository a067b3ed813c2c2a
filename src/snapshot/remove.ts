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
  if (record !== undefined) await removeUnusedOf(record, { snapshots, locks });
  await removeUnusedChunks(snapshots, locks, clock.now());
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

/**
 * Removes kept chunks that no snapshot has. Where one cannot be read nobody knows which those are; while somebody puts some down, they
 * stay for the next time. Answers bytes.
 */
export async function removeUnusedChunks(snapshots: SnapshotStore, locks: Locks, now: number): Promise<number> {
  await using lock = await locks.tryExclusive(snapshots.chunksLock);
  const used = lock === undefined ? undefined : await usedChunks(snapshots);
  if (used === undefined) return 0;
  return await snapshots.chunks.removeUnused(used, used.size === 0 ? Number.POSITIVE_INFINITY : now - YOUNG_MS);
}

/** Removes the chunks of a snapshot that came to nothing, as far as no other has them. */
export async function removeUnusedOf(
  { files }: Pick<SnapshotRecord, 'files'>,
  { snapshots, locks }: Pick<SnapshotPorts, 'snapshots' | 'locks'>,
): Promise<void> {
  await using lock = await locks.tryExclusive(snapshots.chunksLock);
  const used = lock === undefined ? undefined : await usedChunks(snapshots);
  if (used === undefined) return;
  for (const digest of chunksOf(files)) if (!used.has(hexOf(digest))) await snapshots.chunks.remove(digest);
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
