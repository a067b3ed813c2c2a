import { z } from 'zod';

import { KvciError, messageOf } from '../../core/errors.ts';
import type { EventSink } from '../../core/events.ts';
import type { CommandRunner } from '../../host/types.ts';
import { OUTSIDE, pastaArgv, RESOLVER } from '../../sandbox/pasta.ts';
import type { IpFamily } from '../types.ts';

/** What of machines leaves under the network's own address, by which device. */
export function masquerade(device: string): string {
  return `table inet kvci
delete table inet kvci
table inet kvci {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "${device}" masquerade
  }
}
`;
}

/** The same beside others, who are not to get in by it, neither to machines nor to what serves them: an engine's network has all of its containers in it. */
export function masqueradeAmongOthers(device: string): string {
  return `${masquerade(device)}table inet kvci {
  chain forward {
    type filter hook forward priority filter
    iifname "${device}" ct state new drop
  }
  chain input {
    type filter hook input priority filter
    iifname "${device}" ct state new drop
  }
}
`;
}

/** The settings of the kernel that make a router of a namespace, by path below /proc/sys. */
export function routerSettings(families: readonly IpFamily[]): Readonly<Record<string, string>> {
  return {
    ...(families.includes('ipv4') ? { 'net/ipv4/ip_forward': '1' } : {}),
    ...(families.includes('ipv6') ? { 'net/ipv6/conf/all/forwarding': '1' } : {}),
  };
}

/** A way outside. */
export interface Outside {
  /** Those that lead there. */
  readonly families: readonly IpFamily[];
  /** Where names of the outside are resolved; missing where nobody tells. */
  readonly resolver?: string;
}

const CLOSED: Outside = { families: [] };

/** Gives a network a way outside where there is one; machines need none. @param inside runs commands with the machines' network */
export type ReachOutside = (inside: CommandRunner, events: EventSink, signal: AbortSignal) => Promise<Outside>;

/** Through this host's own network, as any of its processes. @param host runs commands in the sandbox's files and processes, with this host's network */
export function throughHost(host: () => Promise<CommandRunner>): ReachOutside {
  return orClosed(async (inside, _events, signal) => {
    await (await host()).run(pastaArgv('/proc/1/ns/net'), { signal });
    await inside.run(['nft', '-f', '-'], { stdin: masquerade(OUTSIDE), signal });
    return { families: await familiesBy(OUTSIDE, inside, signal), resolver: RESOLVER };
  });
}

/** Through the network that an engine has given the container that the sandbox is. */
export const throughEngine: ReachOutside = orClosed(async (inside, events, signal) => {
  const { stdout: route } = await inside.run(['ip', '-json', 'route', 'show', 'default'], { signal });
  const { stdout: six } = await inside.run(['ip', '-json', '-6', 'route', 'show', 'default'], { signal });
  const device = routeDevice(route) ?? routeDevice(six);
  if (device === undefined) {
    events({ type: 'problem', level: 'note', message: 'nodes have no network but their own: their engine gives its containers none' });
    return CLOSED;
  }
  await inside.run(['nft', '-f', '-'], { stdin: masqueradeAmongOthers(device), signal });
  const resolver = resolverOf((await inside.run(['cat', '/etc/resolv.conf'], { accept: [1], signal })).stdout);
  return { families: await familiesBy(device, inside, signal), ...(resolver === undefined ? {} : { resolver }) };
});

const routesSchema = z.array(z.object({ dev: z.string() }));

/** The device of the first of the routes that `ip -json route` prints; it prints nothing at all where there are none. */
export function routeDevice(json: string): string | undefined {
  return json.trim() === '' ? undefined : routesSchema.parse(JSON.parse(json))[0]?.dev;
}

/** The first server that a resolv.conf(5) names and that is not on loopback, where nobody listens inside. */
export function resolverOf(text: string): string | undefined {
  const servers = [...text.matchAll(/^nameserver\s+(\S+)/gm)].map(([, server = '']) => server);
  return servers.find((server) => !/^(127\.|::1$)/.test(server));
}

function orClosed(reach: ReachOutside): ReachOutside {
  return async (inside, events, signal) => {
    try {
      return await reach(inside, events, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof KvciError)) throw error;
      events({ type: 'problem', level: 'note', message: `nodes have no network but their own: ${messageOf(error)}` });
      return CLOSED;
    }
  };
}

async function familiesBy(device: string, inside: CommandRunner, signal: AbortSignal): Promise<readonly IpFamily[]> {
  const routes = await Promise.all(
    (['ipv4', 'ipv6'] as const).map(async (family) => {
      const { stdout } = await inside.run(['ip', family === 'ipv4' ? '-4' : '-6', 'route', 'show', 'default'], { signal });
      return stdout.split(/\s+/).includes(device) ? [family] : [];
    }),
  );
  return routes.flat();
}
