import { throwIfCancelled, KvciError } from '../core/errors.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { Machines, NodeHandle } from '../machine/types.ts';
import { mainAddress, networkOf, nodeAddresses } from './addresses.ts';
import type { ClusterRun } from './cluster-run.ts';
import { kubeconfigOf } from './clusters.ts';
import { exposeApi, publishedBy } from './endpoint.ts';
import { removeEtcdMember } from './etcd.ts';
import { kubeletAnswers, SURE_ANSWER_MS } from './kubelet.ts';
import { parseCni } from './options.ts';
import type { ClusterPorts } from './ports.ts';
import { type NodeState, withNodes } from './state.ts';
import { machineOf } from './steps/boot.ts';
import { drainNode, elseSchedulable } from './steps/drain.ts';
import { setPodNetwork } from './steps/pod-network.ts';
import { nodeVolumes } from './steps/storage.ts';

/**
 * Takes a node out of a cluster that goes on with `nodes`. The state says so before anything is done that cannot be undone: whoever
 * comes after a kill finishes it.
 *
 * @throws KvciError `drain-timed-out`, `no-control-plane`, `etcd-refused`
 */
export async function takeOut(
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
  const living: readonly NodeHandle[] = await Promise.all(
    nodes.filter(({ name }) => runs(name)).map(({ name }) => machines.node(name, signal)),
  );
  const addressOf = ({ index }: NodeState): string => mainAddress(nodeAddresses(network, index), families);

  const helper = nodes.find(({ role, name, joined, leaving }) => role === 'control-plane' && joined && leaving !== true && runs(name));
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
  // An earlier attempt may have got there.
  let out = node.leaving === true;
  const leave = async (noWayBack: () => void = () => undefined): Promise<void> => {
    if (out) noWayBack();
    if (node.role === 'control-plane' && helper !== undefined && through !== undefined) {
      await cluster.step('api', 'API address', undefined, () => exposeApi({ ...state, nodes: [...nodes] }, network, machines, signal));
      await cluster.step('etcd', 'etcd member', node.name, () =>
        removeEtcdMember(through, addressOf(helper), { name: node.name, address: addressOf(node) }, signal),
      );
      out = true;
      noWayBack();
    }
    await cluster.step('remove', 'remove', node.name, async () => {
      out = true;
      noWayBack();
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
  await cluster.updateNode(node.name, { leaving: true });
  try {
    await (drained ? elseSchedulable(node.name, api, machines, leave) : leave());
  } catch (error) {
    if (!out) await cluster.updateNode(node.name, { leaving: undefined });
    throw error;
  }
  await cluster.update(withNodes(state, nodes));
}

/**
 * Finishes removals that were killed or failed where there was no way back. All machines run for that, the leaving ones too: etcd may
 * need them until they are out of it.
 *
 * @throws KvciError as {@link takeOut}
 */
export async function finishRemovals(cluster: ClusterRun, machines: Machines, ports: Pick<ClusterPorts, 'api' | 'states'>): Promise<void> {
  const { signal, events } = cluster.context;
  const network = networkOf(cluster.state);
  for (const node of cluster.state.nodes.filter(({ leaving }) => leaving === true)) {
    const { state } = cluster;
    const nodes = state.nodes.filter(({ name }) => name !== node.name);
    events({ type: 'problem', level: 'note', message: `the removal of ${node.name}, which was ended in the middle, is finished first` });
    const api = await cluster.step('leave', 'machines and API for the removal', node.name, async () => {
      const there = (await machines.list()).map(({ name }) => name);
      const start = async (each: NodeState): Promise<void> => {
        await machines.start(machineOf(each, state.options, network, publishedBy(each, state, network)), signal);
      };
      await Promise.all(nodes.filter(({ name }) => there.includes(name)).map(start));
      // It may be broken: etcd tells whether it was needed.
      if (there.includes(node.name)) await start(node).catch(() => undefined);
      throwIfCancelled(signal);
      await exposeApi({ ...state, nodes }, network, machines, signal);
      const answering = await ports.api(await kubeconfigOf(state.name, ports));
      await answering.view(signal);
      return answering;
    });
    await takeOut(node, nodes, false, cluster, machines, api);
  }
}
