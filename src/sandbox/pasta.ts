/** The device by which the outside is reached. */
export const OUTSIDE = 'outside';

/**
 * Addresses of ranges that nobody has: 198.18.0.0/15 is for benchmarks (RFC 2544), the other is a random one of RFC 4193. The host's
 * own, which pasta would take by itself, may be those of the machines' network; and what has them cannot reach the host by them.
 */
const ADDRESSES: Readonly<Record<'ipv4' | 'ipv6', { readonly own: string; readonly gateway: string }>> = {
  ipv4: { own: '198.18.0.2', gateway: '198.18.0.1' },
  ipv6: { own: 'fd6b:7663:6900::2', gateway: 'fd6b:7663:6900::1' },
};

/** Where names of the outside are resolved, by whatever this host asks. */
export const RESOLVER = '198.18.0.53';

/** The command that leads a network namespace to the outside through this host's own network, as any of its processes. */
export function pastaArgv(namespace: string): [string, ...string[]] {
  const closed = ['--tcp-ports', '--udp-ports', '--tcp-ns', '--udp-ns'].flatMap((option) => [option, 'none']);
  const { ipv4, ipv6 } = ADDRESSES;
  return [
    'pasta',
    '--config-net',
    '--quiet',
    ...['--runas', '0:0'],
    // What listens on this host's loopback is not for machines.
    '--no-map-gw',
    ...closed,
    ...['--ns-ifname', OUTSIDE],
    ...['--address', ipv4.own, '--netmask', '30', '--gateway', ipv4.gateway],
    ...['--address', ipv6.own, '--gateway', ipv6.gateway],
    ...['--dns-forward', RESOLVER],
    ...['--netns', namespace],
  ];
}
