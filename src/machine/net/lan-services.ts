import { allOf } from '../../core/all-of.ts';
import type { EventSink } from '../../core/events.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { CommandRunner } from '../../host/types.ts';
import { putFile } from '../../sandbox/put-file.ts';
import type { NodeAddresses } from '../types.ts';
import { gatewayConfig } from './gateway.ts';
import { bridgeBatch, dnsmasqConfig, dnsmasqHost, type LanOptions, plugBatch, slowDhcpRules, tapBatch, tapName } from './lan.ts';
import { type ReachOutside, routerSettings } from './outbound.ts';

/** Where the network's services keep their files in the sandbox: in memory. */
const FOLDER = '/run/kvci/net';

/** The socket that leads into the network, in the sandbox. */
export const GATEWAY_SOCKET = '/run/kvci/net/gateway.sock';

/** What dnsmasq has given, in the sandbox; not there before the first. */
export const LEASES = '/run/kvci/net/dnsmasq.leases';

/** Writes settings of the kernel, each a path below /proc/sys and a value; in a container they stand already, and cannot be written. */
const SET = `while [ $# -gt 0 ]; do
  if [ -e "/proc/sys/$1" ] && [ "$(cat "/proc/sys/$1")" != "$2" ]; then echo "$2" >"/proc/sys/$1" || exit; fi
  shift 2
done`;

export interface LanParts {
  /** Of `templates/`. */
  readonly templates: TemplateSources;
  readonly events: EventSink;
  /** Taken where the network is to lead outside. */
  readonly reachOutside: ReachOutside;
}

/**
 * Makes the network of a sandbox that has none yet and was started with {@link lanSettings}: bridge, addresses and names, a way in,
 * one outside. All end with the sandbox.
 */
export async function startLan(
  sandbox: CommandRunner,
  options: LanOptions,
  { templates, events, reachOutside }: LanParts,
  signal: AbortSignal,
): Promise<void> {
  await sandbox.run(['mkdir', '-p', '-m', '0700', '/run/kvci', FOLDER, `${FOLDER}/names`, `${FOLDER}/leases`], { signal });
  if (options.joined === undefined) {
    await ipBatch(sandbox, bridgeBatch(options), signal);
  }
  const outside = options.outbound === true ? await reachOutside(sandbox, events, signal) : { families: [] };
  const routed = outside.families.filter((family) => options.families.includes(family));
  await sandbox.run(['sh', '-c', SET, 'sh', ...Object.entries(routerSettings(routed)).flat()], { signal });
  const files = [
    [`${FOLDER}/dnsmasq.conf`, dnsmasqConfig(templates, options, FOLDER, { ...outside, families: routed })],
    [`${FOLDER}/gateway.cfg`, gatewayConfig(templates, GATEWAY_SOCKET)],
  ] as const;
  for (const [path, text] of files) await putFile(sandbox, path, text, signal);
  const rules = slowDhcpRules(templates, options);
  if (rules !== undefined) await sandbox.run(['nft', '-f', '-'], { stdin: rules, signal });
  // Both go to the background once they serve, and fail before that if they cannot.
  await sandbox.run(['dnsmasq', `--conf-file=${FOLDER}/dnsmasq.conf`], { signal });
  await sandbox.run(['haproxy', '-D', '-p', `${FOLDER}/gateway.pid`, '-f', `${FOLDER}/gateway.cfg`], { signal });
}

/** Gives a machine its address, its name and its place on the bridge; one that had them before keeps them. */
export async function joinLan(
  sandbox: CommandRunner,
  name: string,
  addresses: NodeAddresses,
  lan: Pick<LanOptions, 'joined'>,
  signal: AbortSignal,
): Promise<void> {
  const { lease, names } = dnsmasqHost(name, addresses);
  const tap = tapName(addresses);
  const makeTap = async (): Promise<void> => {
    if ((await sandbox.run(['ip', 'link', 'show', 'dev', tap], { accept: [1], signal })).exitCode === 0) return;
    await ipBatch(sandbox, tapBatch(addresses), signal);
  };
  await allOf([
    putFile(sandbox, `${FOLDER}/leases/${name}`, lease, signal),
    putFile(sandbox, `${FOLDER}/names/${name}`, names, signal),
    makeTap(),
  ]);
  // A bridge of somebody else's may be another by now.
  await ipBatch(sandbox, plugBatch(addresses, lan), signal);
}

/** Takes a machine's address, name and place away; what is gone is gone. */
export async function leaveLan(sandbox: CommandRunner, name: string, addresses: NodeAddresses, signal: AbortSignal): Promise<void> {
  await sandbox.run(['rm', '-f', `${FOLDER}/leases/${name}`, `${FOLDER}/names/${name}`], { signal });
  await sandbox.run(['ip', 'link', 'delete', 'dev', tapName(addresses)], { accept: [1], signal });
}

/** Whether the machine of an address has asked for it and got it. */
export async function hasLease(sandbox: CommandRunner, { ipv4, ipv6 }: NodeAddresses): Promise<boolean> {
  const { stdout } = await sandbox.run(['cat', LEASES], { accept: [1] });
  const words = new Set(stdout.split(/\s+/));
  return [ipv4, ipv6].some((address) => address !== undefined && words.has(address));
}

/** What dnsmasq was asked and answered. */
export async function lanLog(sandbox: CommandRunner): Promise<string> {
  return (await sandbox.run(['cat', `${FOLDER}/dnsmasq.log`], { accept: [1] })).stdout;
}

async function ipBatch(sandbox: CommandRunner, lines: string, signal: AbortSignal): Promise<void> {
  await sandbox.run(['ip', '-batch', '-'], { stdin: lines, signal });
}
