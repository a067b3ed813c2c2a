import type { IpFamily } from '../machine/types.ts';

/** A network that a node has to come up in. */
export interface NetworkCase {
  /** Stable, kebab-case: files of expectations name it. */
  readonly name: string;
  readonly title: string;
  /** Families that the network has. */
  readonly families: readonly IpFamily[];
  readonly routerAdvertisements: boolean;
  /** Seconds after its first question before which DHCP servers do not hear a machine. */
  readonly dhcpDelay: number;
  /** Families that the node has to get an address of. */
  readonly addresses: readonly IpFamily[];
  /** By the disk's own boot loader, or directly where the kernel lies beside the disk: no network cares, and both are seen. */
  readonly boot: 'loader' | 'direct';
}

/**
 * The networks that lab and CI hosts really have. Without router advertisements nobody tells a node that there is DHCPv6
 * (RFC 4861, 4.2: the M flag), so that only IPv4 has to come.
 */
export const NETWORK_CASES: readonly NetworkCase[] = [
  {
    name: 'dual-stack',
    title: 'both families',
    families: ['ipv4', 'ipv6'],
    routerAdvertisements: true,
    dhcpDelay: 0,
    addresses: ['ipv4', 'ipv6'],
    boot: 'loader',
  },
  {
    name: 'ipv4-only',
    title: 'IPv4 only',
    families: ['ipv4'],
    routerAdvertisements: false,
    dhcpDelay: 0,
    addresses: ['ipv4'],
    boot: 'direct',
  },
  {
    name: 'ipv6-only',
    title: 'IPv6 only',
    families: ['ipv6'],
    routerAdvertisements: true,
    dhcpDelay: 0,
    addresses: ['ipv6'],
    boot: 'direct',
  },
  {
    name: 'no-router-advertisements',
    title: 'both families, no router advertisements',
    families: ['ipv4', 'ipv6'],
    routerAdvertisements: false,
    dhcpDelay: 0,
    addresses: ['ipv4'],
    boot: 'direct',
  },
  {
    name: 'slow-dhcp',
    title: 'both families, DHCP answers after 20 s',
    families: ['ipv4', 'ipv6'],
    routerAdvertisements: true,
    dhcpDelay: 20,
    addresses: ['ipv4', 'ipv6'],
    boot: 'direct',
  },
];
