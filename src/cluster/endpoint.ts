import type { ForwardTarget, HostPort, MachineNetwork, Machines } from '../machine/types.ts';
import { hostPort, mainAddress, nodeAddresses } from './addresses.ts';
import { API_PORT, controlPlaneEndpoint } from './kubeadm.ts';
import type { ClusterState } from './state.ts';

/** Name of the forward that leads from this host to the API. */
const API_FORWARD = 'api';

type Reached = Pick<ClusterState, 'nodes' | 'families' | 'endpoint' | 'api'>;

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

/** Makes the API reachable: for the nodes by one address whatever control plane answers, for this host by a port of its loopback. */
export async function exposeApi(
  cluster: Reached,
  network: MachineNetwork,
  machines: Machines,
  signal: AbortSignal,
): Promise<{ readonly api: HostPort; readonly endpoint: string }> {
  const targets = apiTargets(cluster, network);
  const shared = isBalanced(cluster, network)
    ? mainAddress(await machines.balance(API_PORT, targets, signal), cluster.families)
    : undefined;
  const api = await machines.forward(API_FORWARD, targets, signal, cluster.api?.port);
  return { api, endpoint: hostPort(shared ?? targets[0]?.address ?? '', API_PORT) };
}
