import { KvciError, messageOf } from '../../core/errors.ts';
import type { EventSink } from '../../core/events.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { IpFamily } from '../types.ts';

/** The device by which the outside is reached. */
export const OUTSIDE = 'outside';

/**
 * Addresses of ranges that nobody has: 198.18.0.0/15 is for benchmarks (RFC 2544), the other is a random one of RFC 4193. The host's
 * own, which pasta would take by itself, may be those of the machines' network.
 */
const ADDRESSES: Readonly<Record<IpFamily, { readonly own: string; readonly gateway: string }>> = {
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

/** What of machines leaves under the network's own address. */
export const MASQUERADE = `table inet kvci
delete table inet kvci
table inet kvci {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "${OUTSIDE}" masquerade
  }
}
`;

/** The settings of the kernel that make a router of a namespace, by path below /proc/sys. */
export function routerSettings(families: readonly IpFamily[]): Readonly<Record<string, string>> {
  return {
    ...(families.includes('ipv4') ? { 'net/ipv4/ip_forward': '1' } : {}),
    ...(families.includes('ipv6') ? { 'net/ipv6/conf/all/forwarding': '1' } : {}),
  };
}

/**
 * Gives a network a way outside where this host has one; machines need none. Answers the families that lead there.
 *
 * @param host runs commands in the sandbox's files and processes, with this host's network
 * @param inside the same, with the machines' network
 */
export async function reachOutside(
  host: CommandRunner,
  inside: CommandRunner,
  events: EventSink,
  signal: AbortSignal,
): Promise<readonly IpFamily[]> {
  try {
    await host.run(pastaArgv('/proc/1/ns/net'), { signal });
    await inside.run(['nft', '-f', '-'], { stdin: MASQUERADE, signal });
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError)) throw error;
    events({ type: 'problem', level: 'note', message: `nodes have no network but their own: ${messageOf(error)}` });
    return [];
  }
  const routes = await Promise.all(
    (['ipv4', 'ipv6'] as const).map(async (family) => {
      const { stdout } = await inside.run(['ip', family === 'ipv4' ? '-4' : '-6', 'route', 'show', 'default'], { signal });
      return stdout.includes(OUTSIDE) ? [family] : [];
    }),
  );
  return routes.flat();
}
