import type { ForwardTarget, HostPort } from '../machine/types.ts';
import { networkOf } from './addresses.ts';
import { apiTargets } from './endpoint.ts';
import type { ClusterState } from './state.ts';

/** A port of this host that leads into a cluster. */
export interface ExposedPort extends HostPort {
  /** What it is for, as kubevirtci calls it: `k8s` is the API. */
  readonly name: string;
  /** Connections go to whichever of these answers; none for what is beside the nodes. */
  readonly targets: readonly (ForwardTarget & { readonly node: string })[];
}

/** What on this host leads into a cluster; nothing before it has a network. */
export function exposedPorts(state: ClusterState): readonly ExposedPort[] {
  const { api, network, nodes } = state;
  if (api === undefined || network === undefined) return [];
  const controlPlanes = nodes.filter(({ role }) => role === 'control-plane');
  const targets = apiTargets(state, networkOf(state)).map((target, at) => ({ node: controlPlanes[at]?.name ?? '', ...target }));
  const registry = state.registryPort === undefined ? [] : [{ name: 'registry', host: api.host, port: state.registryPort, targets: [] }];
  return [{ name: 'k8s', ...api, targets }, ...registry];
}
