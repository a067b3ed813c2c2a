import { deadline } from '../core/deadline.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { Machines, NodeHandle } from '../machine/types.ts';
import { mainAddress, networkOf, nodeAddresses } from './addresses.ts';
import { withNodes } from './add-nodes.ts';
import type { ClusterRun } from './cluster-run.ts';
import { kubeconfigOf } from './clusters.ts';
import { REMOVE_NODE_DEADLINE_MS } from './deadlines.ts';
import { exposeApi } from './endpoint.ts';
import { removeEtcdMember } from './etcd.ts';
import { requireCluster, requireMade, requireNode } from './find-cluster.ts';
import { kubeletAnswers, SURE_ANSWER_MS } from './kubelet.ts';
import { lockCluster } from './lock-cluster.ts';
import { parseCni } from './options.ts';
import type { ClusterPorts } from './ports.ts';
import type { ClusterState, NodeState } from './state.ts';
import { drainNode, elseSchedulable } from './steps/drain.ts';
import { setPodNetwork } from './steps/pod-network.ts';
import { nodeVolumes } from './steps/storage.ts';
import { workOn } from './work.ts';

export interface RemoveSettings {
  /** Pods of a living node are asked to end first, and have time for it. */
  readonly drain: boolean;
}

/**
 * Takes a node out of a cluster, dead or alive, with all it holds. Each step finds what an earlier one did: a removal that was
 * killed is done again; the state forgets the node last.
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
    const api = await ports.api(await kubeconfigOf(cluster, ports));
    await takeOut(node, nodes, drain, work.cluster.within(limit.signal), work.machines, api);
  });
}

/** The nodes without one of them. @throws KvciError `last-control-plane` */
export function remaining({ name, nodes }: Pick<ClusterState, 'name' | 'nodes'>, node: NodeState): readonly NodeState[] {
  const others = nodes.filter((other) => other !== node);
  if (node.role === 'worker' || others.some((other) => other.role === 'control-plane' && other.joined)) return others;
  throw new KvciError('usage', 'last-control-plane', `${node.name} is the last control plane of the cluster "${name}"`, {
    hint: `Remove all of the cluster with "kvci down ${name}".`,
  });
}

async function takeOut(
  node: NodeState,
  nodes: readonly NodeState[],
  drain: boolean,
  cluster: ClusterRun,
  machines: Machines,
  api: KubernetesApi,
): Promise<void> {
  const { state } = cluster;
  const { families, options } = state;
  const { signal } = cluster.context;
  const network = networkOf(state);
  const there = await machines.list();
  const runs = (name: string): boolean => there.some((machine) => machine.name === name && machine.state === 'running');
  const living: readonly NodeHandle[] = await Promise.all(nodes.filter(({ name }) => runs(name)).map(({ name }) => machines.node(name)));
  const addressOf = ({ index }: NodeState): string => mainAddress(nodeAddresses(network, index), families);

  const helper = nodes.find(({ role, name, joined }) => role === 'control-plane' && joined && runs(name));
  const through = living.find(({ name }) => name === helper?.name);
  if (node.role === 'control-plane' && (helper === undefined || through === undefined)) {
    throw new KvciError('failed', 'no-control-plane', `no other control plane of the cluster "${state.name}" runs`, {
      hint: `Start them with "kvci up ${state.name}", or remove the cluster with "kvci down ${state.name}".`,
    });
  }
  let drained = false;
  if (drain && node.joined && runs(node.name)) {
    if (await kubeletAnswers(node.name, api, signal, SURE_ANSWER_MS)) {
      await cluster.step('drain', 'drain', node.name, () => drainNode(node.name, state.name, api, cluster.context.clock, signal));
      drained = true;
    } else {
      const message = `${node.name} is removed with the pods on it: its kubelet does not answer, and could not end them`;
      cluster.context.events({ type: 'problem', level: 'warning', message });
    }
  }
  const leave = async (): Promise<void> => {
    if (node.role === 'control-plane' && helper !== undefined && through !== undefined) {
      await cluster.step('api', 'API address', undefined, () => exposeApi({ ...state, nodes: [...nodes] }, network, machines, signal));
      await cluster.step('etcd', 'etcd member', node.name, () =>
        removeEtcdMember(through, addressOf(helper), { name: node.name, address: addressOf(node) }, signal),
      );
    }
    await cluster.step('remove', 'remove', node.name, async () => {
      // In order: connections to it end, and others notice at once.
      if (runs(node.name)) await machines.stop(node.name, signal);
      await machines.remove(node.name);
      await Promise.all(
        [{ apiVersion: 'v1', kind: 'Node', metadata: { name: node.name } }, ...nodeVolumes(node)].map((object) =>
          api.remove(object, signal),
        ),
      );
      if (parseCni(options.cni).kind !== 'bridge') return;
      await Promise.all(
        living.map((handle) => {
          const index = nodes.find(({ name }) => name === handle.name)?.index ?? 0;
          return setPodNetwork(handle, index, nodes, network, families, signal);
        }),
      );
    });
  };
  await (drained ? elseSchedulable(node.name, api, machines, leave) : leave());
  await cluster.update(withNodes(state, nodes));
}
