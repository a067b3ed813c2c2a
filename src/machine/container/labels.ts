import type { Labels } from '../../host/engine/containers.ts';
import type { MachinesSpec } from '../types.ts';

export const CLUSTER_LABEL = 'io.kvci.run/cluster';
export const NODE_LABEL = 'io.kvci.run/node';

/** Everything that kvci makes for nodes carries it: its value tells one life of a cluster from another of the same name. */
export const RUN_LABEL = 'io.kvci.run';

export function clusterLabels({ cluster, run }: Pick<MachinesSpec, 'cluster' | 'run'>): Labels {
  return { [RUN_LABEL]: run, [CLUSTER_LABEL]: cluster };
}

/** Names are for people; kvci goes by labels. */
export function resourceName(cluster: string, node?: string): string {
  return node === undefined ? `kvci-${cluster}` : `kvci-${cluster}-${node}`;
}

/** In an engine that others use, too: whose it is, as {@link HostEngines} has it. */
export const OWNER_LABEL = 'io.kvci.run/owner';
