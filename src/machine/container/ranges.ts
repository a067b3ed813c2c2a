import { BlockList } from 'node:net';

import { KvciError } from '../../core/errors.ts';
import type { IpFamily, MachineNetwork } from '../types.ts';

/** How many networks there can be side by side. */
const NETWORKS = 255;

/** Ranges of private addresses (RFC 1918, RFC 4193) that are far from what homes, offices and engines use by themselves. */
const RANGES: Readonly<Record<IpFamily, (index: number) => string>> = {
  ipv4: (index) => `10.89.${index}.0/24`,
  ipv6: (index) => `fd00:6b76:6369:${index.toString(16)}::/64`,
};

/**
 * The first ranges that overlap with nothing that is taken, the same number in each family.
 *
 * @param taken CIDRs of either family
 * @throws KvciError `no-free-network`
 */
export function freeRanges(families: readonly IpFamily[], taken: readonly string[]): MachineNetwork {
  for (let index = 1; index <= NETWORKS; index += 1) {
    const ranges = families.map((family) => [family, RANGES[family](index)] as const);
    if (!ranges.some(([, range]) => taken.some((other) => overlap(range, other)))) return Object.fromEntries(ranges);
  }
  throw new KvciError('hostNotReady', 'no-free-network', `all ${NETWORKS} networks that kvci may use are taken`, {
    hint: 'Remove clusters with "kvci down", or networks of the container engine that nobody needs.',
    facts: { families, taken },
  });
}

/** True when two CIDRs have an address in common. */
export function overlap(one: string, other: string): boolean {
  return contains(one, addressOf(other)) || contains(other, addressOf(one));
}

/** The first address after that of the network: where engines put the gateway. */
export function gatewayOf(range: string): string {
  const address = addressOf(range);
  return address.includes(':') ? address.replace(/::$/, '::1') : address.replace(/\.0$/, '.1');
}

/** The address of a load balancer that is a container: nodes come after it. */
export function balancerOf(range: string): string {
  return gatewayOf(range).replace(/([.:])1$/, '$110');
}

function contains(range: string, address: string): boolean {
  if (range.includes(':') !== address.includes(':')) return false;
  const family = range.includes(':') ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(addressOf(range), Number(range.split('/')[1]), family);
  return list.check(address, family);
}

function addressOf(range: string): string {
  return range.split('/')[0] ?? range;
}
