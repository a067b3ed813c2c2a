import { deadline } from '../core/deadline.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { kubeconfigOf } from './clusters.ts';
import { REMOVE_NODE_DEADLINE_MS } from './deadlines.ts';
import { requireCluster, requireMade, requireNode } from './find-cluster.ts';
import { leadAgain } from './lead-again.ts';
import { lockCluster } from './lock-cluster.ts';
import type { ClusterPorts } from './ports.ts';
import type { ClusterState, NodeState } from './state.ts';
import { takeOut } from './take-out.ts';
import { workOn } from './work.ts';

export interface RemoveSettings {
  /** Pods of a living node are asked to end first, and have time for it. */
  readonly drain: boolean;
}

/**
 * Takes a node out of a cluster, dead or alive, with all it holds. Each step finds what an earlier one did: a removal that was
 * killed is done again, by this or by `kvci up`; the state forgets the node last.
 *
 * @throws KvciError `node-not-found`, `last-control-plane`, `drain-timed-out`, `no-control-plane`, `etcd-refused`
 */
export async function removeNode(
  cluster: string,
  name: string,
  { drain }: RemoveSettings,
  ports: ClusterPorts,
  run: RunContext,
): Promise<ClusterState> {
  await using _lock = await lockCluster(cluster, ports, run);
  const state = await requireCluster(cluster, ports.states);
  requireMade(state);
  const node = requireNode(state, name);
  const nodes = remaining(state, node);
  await using provider = await ports.provider(state.provider, state.engine, run);
  return await workOn(state, provider, ports, run, 'node remove', async (work) => {
    using limit = deadline(
      run.clock,
      REMOVE_NODE_DEADLINE_MS,
      run.signal,
      () =>
        new KvciError('timedOut', 'remove-timed-out', `${name} was not removed within ${REMOVE_NODE_DEADLINE_MS / 1000} s`, {
          hint: `"kvci status ${cluster}" shows how the others are; run the command again when they are Ready.`,
        }),
    );
    await leadAgain(state, ports, run);
    const api = await ports.api(await kubeconfigOf(cluster, ports));
    await takeOut(node, nodes, drain, work.cluster.within(limit.signal), work.machines, api);
  });
}

/** The nodes without one of them. @throws KvciError `last-control-plane` */
export function remaining({ name, nodes }: Pick<ClusterState, 'name' | 'nodes'>, node: NodeState): readonly NodeState[] {
  const others = nodes.filter((other) => other !== node);
  if (node.role === 'worker' || others.some((other) => other.role === 'control-plane' && other.joined && other.leaving !== true))
    return others;
  throw new KvciError('usage', 'last-control-plane', `${node.name} is the last control plane of the cluster "${name}"`, {
    hint: `Remove all of the cluster with "kvci down ${name}".`,
  });
}
