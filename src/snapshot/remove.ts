import { hexOf } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
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
  await removeUnusedChunks(snapshots, clock.now());
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

/** What another kvci puts down at this moment for a snapshot that has no record yet. */
const YOUNG_MS = 60 * 60_000;

/** Removes kept chunks that no snapshot has. Where one cannot be read nobody knows which those are. Answers bytes. */
export async function removeUnusedChunks(snapshots: SnapshotStore, now: number): Promise<number> {
  const all = await snapshots.list();
  const used = new Set<string>();
  for (const one of all) {
    if ('error' in one) return 0;
    for (const digest of chunksOf(one.files)) used.add(hexOf(digest));
  }
  return snapshots.chunks.removeUnused(used, all.length === 0 ? Number.POSITIVE_INFINITY : now - YOUNG_MS);
}
