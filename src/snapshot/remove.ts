import { hexOf } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { chunksOf } from './kept.ts';
import type { SnapshotPorts } from './ports.ts';
import type { SnapshotStore } from './store.ts';

/** Removes a snapshot. Clusters that came from it go on: they have links of their own. @throws KvciError `snapshot-not-found` */
export async function removeSnapshot(
  name: string,
  { snapshots, locks }: Pick<SnapshotPorts, 'snapshots' | 'locks'>,
  { signal, clock }: Pick<RunContext, 'signal' | 'clock'>,
): Promise<void> {
  await using _lock = await locks.exclusive(snapshots.lock(name), { signal });
  // One whose record cannot be read goes, too.
  const damaged = (error: unknown): unknown => {
    if (error instanceof KvciError && ['snapshot-damaged', 'snapshot-of-another-version'].includes(error.code)) return undefined;
    throw error;
  };
  await snapshots.require(name).catch(damaged);
  await snapshots.remove(name);
  await removeUnusedChunks(snapshots, clock.now());
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
