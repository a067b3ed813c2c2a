import { KvciError } from '../../core/errors.ts';
import { renderTemplate, type TemplateSources } from '../../core/template.ts';
import type { SandboxKind } from '../../sandbox/types.ts';
import type { IpFamily, MachineNetwork, NodeAddresses } from '../types.ts';
import { gatewayOf } from '../container/ranges.ts';
import { type Outside, routerSettings } from './outbound.ts';

/** How a network of virtual machines is. */
export interface LanOptions {
  readonly families: readonly IpFamily[];
  /** Without them a machine has no IPv6 but its link-local address, unless it asks by itself. */
  readonly routerAdvertisements: boolean;
  /** How long a machine asks DHCP servers of both families in vain; 0 on a network that works. */
  readonly dhcpDelaySeconds: number;
  /** The network leads outside where this host has a network; without, it is closed. */
  readonly outbound?: boolean | undefined;
  /** A network that somebody else makes, with its bridge, addresses, names and way outside: machines only get their addresses in it. */
  readonly joined?: JoinedLan | undefined;
}

export interface JoinedLan extends Pick<MachineNetwork, IpFamily> {
  /** Its network device, which comes and goes with the first and the last who is in it. */
  readonly bridge: string;
}

/** The design's ranges: the same in every network, since each has a namespace of its own. */
export const LAN_RANGES: Readonly<Record<IpFamily, string>> = { ipv4: '192.168.66.0/24', ipv6: 'fd00::/64' };

export const BRIDGE = 'lan';

/** Last part of the first machine's address, less one. */
const FIRST_HOST = 100;

/** The most machines of a network: the IPv4 range has no more addresses. */
export const MOST_MACHINES = 154;

/** The ranges of a network of these families. */
export function lanNetwork(families: readonly IpFamily[]): MachineNetwork {
  return { ...Object.fromEntries(families.map((family) => [family, LAN_RANGES[family]])), firstHost: FIRST_HOST };
}

/** `192.168.66.101` and `fd00::101` for the first machine, `index` 1. */
export function lanAddresses(families: readonly IpFamily[], index: number): NodeAddresses {
  if (index < 1 || index > MOST_MACHINES)
    throw new KvciError('usage', 'too-many-machines', `a network has room for ${MOST_MACHINES} machines`);
  const host = FIRST_HOST + index;
  // Written in decimal digits on purpose, so that both addresses of a machine look alike.
  const all = { ipv4: `192.168.66.${host}`, ipv6: `fd00::${host}` };
  return Object.fromEntries(families.map((family) => [family, all[family]]));
}

/** The bridge's own address. */
export function gatewayAddress(family: IpFamily): string {
  return family === 'ipv4' ? '192.168.66.1' : 'fd00::1';
}

/**
 * A MAC address that no other machine of the network has, the same whenever the machine starts: it is made of the end of its
 * address.
 *
 * @throws KvciError `bug` for a machine without an address
 */
export function macOf({ ipv4, ipv6 }: NodeAddresses): string {
  const end = ipv4 !== undefined ? ipv4.split('.').slice(-2).map(Number) : ipv6 !== undefined ? ipv6Tail(ipv6) : undefined;
  if (end === undefined) throw new KvciError('bug', 'no-address', 'a machine without an address has no place in a network');
  // 52:54:00 is what QEMU's own addresses begin with.
  return ['52', '54', '00', ipv4 === undefined ? '06' : '04', ...end.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

function ipv6Tail(address: string): readonly number[] {
  const group = Number.parseInt(address.split(':').at(-1) ?? '', 16);
  return [(group >> 8) & 0xff, group & 0xff];
}

/**
 * Name of a machine's network device on the host's side, the only one where networks are side by side: at most 15 letters, which names
 * of machines may exceed.
 */
export function tapName(addresses: NodeAddresses): string {
  const { ipv4, ipv6 } = addresses;
  // The ends of IPv6 addresses are the same in each network; those of IPv4 have the network's number in them.
  const network = ipv4 === undefined ? subnetOf(ipv6) : '';
  return `tap-${macOf(addresses).replaceAll(':', '').slice(6)}${network}`;
}

/** The last group of an address's /64 where it is written, up to four letters. */
function subnetOf(ipv6 = ''): string {
  return ipv6.split('::')[0]?.split(':')[3] ?? '';
}

/** Input of `ip -batch -` that makes the bridge. */
export function bridgeBatch(options: LanOptions): string {
  const addresses = options.families.map((family) =>
    family === 'ipv4'
      ? `address add ${gatewayAddress('ipv4')}/24 dev ${BRIDGE}`
      : // Nobody else is there yet: waiting for a doublet would only delay.
        `address add ${gatewayAddress('ipv6')}/64 dev ${BRIDGE} nodad`,
  );
  return lines([
    // Snooping without anybody who asks for memberships would lose neighbour discovery.
    // Without an address of its own it takes the lowest of its ports, and is somebody else whenever one comes or goes.
    `link add ${BRIDGE} address 52:54:00:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    ...(options.families.includes('ipv6') ? [] : [`link set ${BRIDGE} addrgenmode none`]),
    ...addresses,
    `link set ${BRIDGE} up`,
  ]);
}

/**
 * Settings of the kernel, by path below /proc/sys, that have to stand before the bridge is made. In a container none can be written
 * later: whether there will be a way outside is not known yet.
 */
export function lanSettings(options: LanOptions, kind: SandboxKind = 'namespaces'): Readonly<Record<string, string>> {
  const ipv6 = options.families.includes('ipv6');
  return {
    ...(kind === 'container' && options.outbound === true ? routerSettings(options.families) : {}),
    'net/ipv6/conf/default/disable_ipv6': ipv6 ? '0' : '1',
    'net/ipv6/conf/all/disable_ipv6': ipv6 ? '0' : '1',
    // Nobody else has the bridge's addresses: routers are advertised a second sooner.
    ...(ipv6 ? { 'net/ipv6/conf/default/accept_dad': '0' } : {}),
  };
}

/** Input of `ip -batch -` that makes a machine's network device. */
export function tapBatch(addresses: NodeAddresses): string {
  const tap = tapName(addresses);
  return lines([`tuntap add dev ${tap} mode tap vnet_hdr`, `link set ${tap} addrgenmode none`]);
}

/** Input of `ip -batch -` that gives it its place on the bridge. */
export function plugBatch(addresses: NodeAddresses, { joined }: Pick<LanOptions, 'joined'>): string {
  return lines([`link set ${tapName(addresses)} master ${joined?.bridge ?? BRIDGE} up`]);
}

/** How long a machine takes the bridge for its way outside after the last advertisement, in seconds: three of them may be lost. */
const ROUTER_LIFETIME = 60;

/** The configuration of dnsmasq. @param folder where it keeps its files @param outside families of the network that lead there */
export function dnsmasqConfig(
  templates: TemplateSources,
  options: LanOptions,
  folder: string,
  outside: Outside = { families: [] },
): string {
  const { joined } = options;
  const { families: routed, resolver } = outside;
  const ranges = joined ?? LAN_RANGES;
  const network = (family: IpFamily): { network: string; gateway: string } | undefined => {
    const range = options.families.includes(family) ? ranges[family] : undefined;
    return range === undefined ? undefined : { network: range.replace(/\/\d+$/, ''), gateway: gatewayOf(range) };
  };
  const [ipv4, ipv6] = [network('ipv4'), network('ipv6')];
  return renderTemplate(templates, 'net/dnsmasq.conf', {
    folder,
    bridge: joined?.bridge ?? BRIDGE,
    names: joined === undefined,
    resolver: routed.length === 0 ? undefined : resolver,
    ipv4: ipv4 === undefined ? undefined : { ...ipv4, netmask: '255.255.255.0', router: routed.includes('ipv4') || joined !== undefined },
    ipv6:
      ipv6 === undefined
        ? undefined
        : {
            ...ipv6,
            prefix: 64,
            advertised: options.routerAdvertisements,
            routerLifetime: routed.includes('ipv6') ? ROUTER_LIFETIME : 0,
          },
  });
}

/**
 * Input of `nft -f -` that has DHCP answer late; undefined where it answers at once. Not `dhcp-reply-delay`, which dnsmasq knows for
 * DHCPv4 only and waits out doing nothing else.
 */
export function slowDhcpRules(templates: TemplateSources, { dhcpDelaySeconds: seconds }: LanOptions): string | undefined {
  return seconds === 0 ? undefined : renderTemplate(templates, 'net/slow-dhcp.nft', { seconds });
}

/** A machine in dnsmasq's eyes: the line of its lease (`dhcp-hostsdir`) and those of its name (`hostsdir`). */
export function dnsmasqHost(name: string, addresses: NodeAddresses): { readonly lease: string; readonly names: string } {
  const { ipv4, ipv6 } = addresses;
  const all = [...(ipv4 === undefined ? [] : [ipv4]), ...(ipv6 === undefined ? [] : [`[${ipv6}]`])];
  return {
    lease: lines([[macOf(addresses), ...all, name, 'infinite'].join(',')]),
    names: lines([ipv4, ipv6].flatMap((address) => (address === undefined ? [] : [`${address} ${name}`]))),
  };
}

function lines(list: readonly string[]): string {
  return list.map((line) => `${line}\n`).join('');
}
