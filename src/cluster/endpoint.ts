import type { ForwardTarget, HostPort, MachineNetwork, Machines, PublishedPort } from '../machine/types.ts';
import { hostPort, mainAddress, nodeAddresses } from './addresses.ts';
import { API_PORT, controlPlaneEndpoint } from './kubeadm.ts';
import type { ClusterState, NodeState } from './state.ts';

/** Name of the forward that leads from this host to the API. */
const API_FORWARD = 'api';

type Reached = Pick<ClusterState, 'nodes' | 'families' | 'endpoint' | 'api' | 'apiPort'>;

/** The API servers of a cluster. */
export function apiTargets({ nodes, families }: Reached, network: MachineNetwork): readonly ForwardTarget[] {
  return nodes
    .filter(({ role }) => role === 'control-plane')
    .map(({ index }) => ({ address: mainAddress(nodeAddresses(network, index), families), port: API_PORT }));
}

/**
 * Whether nodes find the API at an address that leads to any control plane. It is in the certificates and in every node's
 * configuration: what it was when the cluster was made, it stays.
 */
export function isBalanced(cluster: Reached, network: MachineNetwork): boolean {
  const { nodes, families, endpoint } = cluster;
  const own = nodes
    .filter(({ role }) => role === 'control-plane')
    .map(({ index }) => controlPlaneEndpoint(nodeAddresses(network, index), families));
  return endpoint === undefined ? own.length > 1 : !own.includes(endpoint);
}

/** The port of this host that leads to the API, or is to lead there: whoever was told of it keeps it. */
export function portOf({ api, apiPort }: Pick<ClusterState, 'api' | 'apiPort'>): number | undefined {
  return api?.port ?? apiPort;
}

/** What a node itself publishes: the API's port, where there is no load balancer that does for all control planes. */
export function publishedBy({ role }: Pick<NodeState, 'role'>, cluster: Reached, network: MachineNetwork): readonly PublishedPort[] {
  const hostPort = portOf(cluster);
  if (role !== 'control-plane' || hostPort === undefined || isBalanced(cluster, network)) return [];
  return [{ port: API_PORT, hostPort }];
}

/** Makes the API reachable: for the nodes by one address whatever control plane answers, for this host by a port of its loopback. */
export async function exposeApi(
  cluster: Reached,
  network: MachineNetwork,
  machines: Pick<Machines, 'balance' | 'forward'>,
  signal: AbortSignal,
): Promise<{ readonly api: HostPort; readonly endpoint: string }> {
  const targets = apiTargets(cluster, network);
  const port = portOf(cluster);
  const shared = isBalanced(cluster, network)
    ? mainAddress(await machines.balance(API_PORT, targets, signal, port), cluster.families)
    : undefined;
  const api = await machines.forward(API_FORWARD, targets, signal, port);
  return { api, endpoint: hostPort(shared ?? targets[0]?.address ?? '', API_PORT) };
}
