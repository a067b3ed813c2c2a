import { throwIfCancelled } from '../../core/errors.ts';
import { notRemoved, type SweepResult } from '../../host/sweep.ts';
import type { Claim } from './lost-clusters.ts';
import type { SshForwards } from './ssh-forwards.ts';

/**
 * Ends what leads by ssh to clusters of which nothing is known any more.
 *
 * @param claim as `removeLostClusters` takes it
 * @throws KvciError `cancelled`, `bad-state-file`
 */
export async function removeLostForwards(
  forwards: Pick<SshForwards, 'owners' | 'end'>,
  claim: (cluster: string) => Promise<Claim | undefined>,
  signal?: AbortSignal,
): Promise<SweepResult> {
  const removed: string[] = [];
  const failed: SweepResult['failed'][number][] = [];
  for (const { cluster, run } of await forwards.owners()) {
    throwIfCancelled(signal);
    const what = `the ssh that leads to the cluster "${cluster}", whose state is lost`;
    try {
      await using held = await claim(cluster);
      if (held === undefined || held.run === run) continue;
      await forwards.end(cluster, run);
      removed.push(what);
    } catch (error) {
      failed.push(notRemoved(what, error));
    }
  }
  return { removed, failed };
}
