import { KvciError } from '../core/errors.ts';
import { FIRST_HOST, type IpFamily, type MachineNetwork, type NodeAddresses } from '../machine/types.ts';
import type { ClusterState } from './state.ts';

/** What the cluster gives out, by family; the design's ranges. */
export const POD_RANGES: Readonly<Record<IpFamily, string>> = { ipv4: '10.244.0.0/16', ipv6: 'fd10:244::/56' };
export const SERVICE_RANGES: Readonly<Record<IpFamily, string>> = { ipv4: '10.96.0.0/12', ipv6: 'fd10:96::/108' };

/** The address of a node in the network of its cluster: `.11`, `::11` for the first. Ranges are at least a /24 and a /64. */
export function nodeAddresses({ ipv4, ipv6, firstHost = FIRST_HOST }: MachineNetwork, index: number): NodeAddresses {
  const host = firstHost + index;
  return {
    ...(ipv4 === undefined ? {} : { ipv4: ipv4.replace(/\.\d+\/\d+$/, `.${host}`) }),
    // Written in decimal digits on purpose, so that both addresses of a node look alike.
    ...(ipv6 === undefined ? {} : { ipv6: ipv6.replace(/::\/\d+$/, `::${host}`) }),
  };
}

/** The ranges of pods of one node: a /24 and a /64 of the cluster's. */
export function podRangesOf(index: number, families: readonly IpFamily[]): readonly string[] {
  return families.map((family) => (family === 'ipv4' ? `10.244.${index}.0/24` : `fd10:244:0:${index.toString(16)}::/64`));
}

/** The network of a cluster as its state has it; without ranges before it is made. */
export function networkOf({ network: { ipv4, ipv6, firstHost } = {} }: Pick<ClusterState, 'network'>): MachineNetwork {
  return {
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    ...(firstHost === undefined ? {} : { firstHost }),
  };
}

/** Addresses in the order of families; the first is the node's main one. */
export function addressList(addresses: NodeAddresses, families: readonly IpFamily[]): readonly string[] {
  return families.flatMap((family) => addresses[family] ?? []);
}

/** @throws KvciError `bug` when the node has no address of the cluster's first family */
export function mainAddress(addresses: NodeAddresses, families: readonly IpFamily[]): string {
  const [main] = addressList(addresses, families);
  if (main === undefined) throw new KvciError('bug', 'no-address', 'a node has no address of the families of its cluster');
  return main;
}

/** `HOST:PORT` as URLs and Kubernetes write it. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
