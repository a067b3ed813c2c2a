import { throwIfCancelled } from '../../core/errors.ts';
import type { Containers, Labels } from '../../host/engine/containers.ts';
import { notRemoved, type SweepResult } from '../../host/sweep.ts';
import { CLUSTER_LABEL, RUN_LABEL } from './labels.ts';
import { removeLabelled } from './remove.ts';

/** An engine in which something may be of clusters that nobody can name any more. */
export interface LostPlace {
  readonly containers: Pick<Containers, 'list' | 'remove' | 'volumes' | 'removeVolume' | 'networks' | 'removeNetwork'>;
  /** What tells this user's things from those of others. */
  readonly labels: Labels;
  /** Ends what leads into the network of a cluster and is no container. */
  endForwards(cluster: string): Promise<void>;
  /** Ends what the engine still runs for containers that have been removed. */
  sweep(ids: readonly string[]): Promise<void>;
}

/** A cluster that nobody else works on until it is let go of. */
export interface Claim extends AsyncDisposable {
  /** The life of it that is known: what belongs to it stays. Undefined where none is. */
  readonly run: string | undefined;
}

/**
 * Removes what clusters left of which nothing is known any more: whoever lost their state cannot name them.
 *
 * @param claim undefined for a cluster that is somebody's; asked after it is known what there is: a cluster's state is on disk
 *   before anything is made of it
 * @throws KvciError `cancelled`
 */
export async function removeLostClusters(
  place: LostPlace,
  claim: (cluster: string) => Promise<Claim | undefined>,
  signal?: AbortSignal,
): Promise<SweepResult> {
  const { containers, labels } = place;
  const found = (await Promise.all([containers.list(labels), containers.volumes(labels), containers.networks(labels)])).flat();
  const names = new Set(found.flatMap((item) => item.labels[CLUSTER_LABEL] ?? []));
  const removed: string[] = [];
  const failed: SweepResult['failed'][number][] = [];
  for (const cluster of [...names].toSorted()) {
    throwIfCancelled(signal);
    const what = `nodes of the cluster "${cluster}", whose state is lost`;
    try {
      await using held = await claim(cluster);
      if (held === undefined) continue;
      const { run } = held;
      const isLost = (item: { readonly labels: Labels }): boolean => item.labels[RUN_LABEL] !== run;
      if (!found.some((item) => item.labels[CLUSTER_LABEL] === cluster && isLost(item))) continue;
      if (run === undefined) await place.endForwards(cluster);
      await removeLabelled(place, { ...labels, [CLUSTER_LABEL]: cluster }, isLost);
      removed.push(what);
    } catch (error) {
      failed.push(notRemoved(what, error));
    }
  }
  return { removed, failed };
}
