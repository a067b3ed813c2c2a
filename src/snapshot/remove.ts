import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { SnapshotPorts } from './ports.ts';

/** Removes a snapshot. Clusters that came from it go on: they have links of their own. @throws KvciError `snapshot-not-found` */
export async function removeSnapshot(
  name: string,
  { snapshots, locks }: Pick<SnapshotPorts, 'snapshots' | 'locks'>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<void> {
  await using _lock = await locks.exclusive(snapshots.lock(name), { signal });
  // One whose record cannot be read goes, too.
  const damaged = (error: unknown): unknown => {
    if (error instanceof KvciError && ['snapshot-damaged', 'snapshot-of-another-version'].includes(error.code)) return undefined;
    throw error;
  };
  await snapshots.require(name).catch(damaged);
  await snapshots.remove(name);
}
