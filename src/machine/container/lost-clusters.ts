import type { NodeEngine } from '../../sandbox/node-engine.ts';
import { CLUSTER_LABEL, RUN_LABEL } from './labels.ts';
import { ownForwards } from './own-forwards.ts';
import { sweepMonitors } from './own-node-host.ts';
import { removeLabelled } from './remove.ts';

/**
 * Removes from kvci's own engine what clusters left of which nothing is known any more: whoever lost their state cannot name
 * them. Answers their names.
 *
 * @param isKnown asked after it is known what there is: a cluster's state is on disk before anything is made of it
 */
export async function removeLostClusters(engine: NodeEngine, isKnown: (cluster: string) => Promise<boolean>): Promise<readonly string[]> {
  const { containers } = engine;
  const kept = { [RUN_LABEL]: '' };
  const found = await Promise.all([containers.list(kept), containers.volumes(kept), containers.networks(kept)]);
  const names = new Set(found.flat().flatMap(({ labels }) => labels[CLUSTER_LABEL] ?? []));
  const lost: string[] = [];
  for (const cluster of [...names].toSorted()) {
    if (await isKnown(cluster)) continue;
    await ownForwards(engine, cluster).remove();
    await removeLabelled({ containers, sweep: (ids) => sweepMonitors(engine, ids) }, { [CLUSTER_LABEL]: cluster });
    lost.push(cluster);
  }
  return lost;
}
