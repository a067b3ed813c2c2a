import { parseSize } from '../core/sizes.ts';
import type { IpFamily, MachineProvider, NodeProvider } from '../machine/types.ts';
import type { ClusterOptions } from './options.ts';

export type NodeRole = 'control-plane' | 'worker';

/** A node as its cluster wants it. */
export interface NodeSpec {
  /** `node01`... */
  readonly name: string;
  /** From 1 on: addresses and the node's range of pods are made of it. */
  readonly index: number;
  readonly role: NodeRole;
  readonly cpus?: number | undefined;
  /** Bytes. */
  readonly memory?: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** What it is, in a cluster of both kinds. */
  readonly provider?: NodeProvider | undefined;
}

/** What a node is to be. What `auto` stands for is decided before; a state that has it still is of a version that knew containers only. */
export function nodeProvider(index: number, role: NodeRole, options: ClusterOptions): NodeProvider {
  const { provider, controlPlaneProvider, overrides } = options;
  const all = provider === 'auto' ? 'kind' : provider;
  return overrides[nodeName(index)]?.provider ?? (role === 'control-plane' ? controlPlaneProvider : undefined) ?? all;
}

/** What provides all nodes of a cluster. */
export function clusterProvider(options: ClusterOptions): MachineProvider['name'] {
  const kinds = new Set(Array.from({ length: options.nodes }, (_, at) => nodeProvider(at + 1, roleAt(at, options), options)));
  const [only] = kinds;
  return kinds.size === 1 && only !== undefined ? only : 'mixed';
}

export function roleAt(position: number, { controlPlanes }: ClusterOptions): NodeRole {
  return position < controlPlanes ? 'control-plane' : 'worker';
}

export function nodeName(index: number): string {
  return `node${String(index).padStart(2, '0')}`;
}

export function familiesOf(ipFamily: ClusterOptions['ipFamily']): readonly IpFamily[] {
  return ipFamily === 'dual' ? ['ipv4', 'ipv6'] : [ipFamily];
}

/** All nodes of a cluster, control planes first. */
export function nodeSpecs(options: ClusterOptions): readonly NodeSpec[] {
  return Array.from({ length: options.nodes }, (_, position) => nodeSpec(position + 1, roleAt(position, options), options));
}

/** @param provided what provides its cluster: one of both kinds stays that, whatever nodes it has left */
export function nodeSpec(
  index: number,
  role: NodeRole,
  options: ClusterOptions,
  provided: MachineProvider['name'] = clusterProvider(options),
): NodeSpec {
  const name = nodeName(index);
  const own = options.overrides[name] ?? {};
  const memory = own.memory ?? options.memory;
  return {
    name,
    index,
    role,
    cpus: own.cpus ?? options.cpus,
    memory: memory === undefined ? undefined : parseSize(memory),
    labels: own.labels ?? {},
    ...(provided === 'mixed' ? { provider: nodeProvider(index, role, options) } : {}),
  };
}
