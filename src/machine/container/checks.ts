import { readFile } from 'node:fs/promises';

import { KvciError } from '../../core/errors.ts';
import type { CommandRunner, HostCheck, HostProblem } from '../../host/types.ts';
import { delegatedCgroup } from '../../sandbox/cgroup.ts';

/**
 * What nodes that are containers need of the host, beside what sandboxes do. All are warnings: who builds images only needs none.
 */
export function containerNodeChecks(commands: CommandRunner, user: { readonly uid: number }): HostCheck[] {
  return [
    { id: 'cgroups', title: 'control groups for containers', run: () => checkCgroups(commands, user) },
    { id: 'overlay', title: 'overlay file systems', run: () => checkOverlay(commands) },
    { id: 'node-networks', title: 'networks of nodes', run: () => checkNetworks(commands) },
    { id: 'node-limits', title: 'limits that nodes meet', run: async () => limitsProblem(await readSettings(), user) },
    { id: 'ipv6', title: 'IPv6', run: async () => ipv6Problem(await readSetting(NO_IPV6)) },
  ];
}

const NO_IPV6 = 'net/ipv6/conf/default/disable_ipv6';

/** Whether containers of this host have IPv6 addresses of their own. */
export async function hasIpv6(): Promise<boolean> {
  return ipv6Problem(await readSetting(NO_IPV6)) === undefined;
}

/** To be root of namespaces and mount something in them. */
const MOUNT = ['unshare', '--user', '--map-root-user', '--mount', '--cgroup', 'sh', '-c'] as const;

/** To be root of a network. */
const IN_NETWORK = ['unshare', '--user', '--map-root-user', '--net', 'env', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'sh', '-c'] as const;

async function checkCgroups(commands: CommandRunner, { uid }: { readonly uid: number }): Promise<HostProblem | undefined> {
  const failed = await failureOf(commands, 'mount -t tmpfs none /tmp && mkdir /tmp/x && mount -t cgroup2 none /tmp/x');
  if (failed !== undefined) {
    return { level: 'warning', message: 'cgroup2 cannot be mounted in a user namespace: nodes cannot be containers', error: failed };
  }
  if (uid === 0 || (await delegatedCgroup()) !== undefined) return undefined;
  return {
    level: 'warning',
    message:
      'no control group is delegated to this user: nodes can be containers only when kvci is started in a unit of the user, as by\n' +
      '  systemd-run --user --scope --property=Delegate=yes kvci up',
  };
}

async function checkOverlay(commands: CommandRunner): Promise<HostProblem | undefined> {
  const layers =
    'mount -t tmpfs none /tmp && cd /tmp && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w,userxattr o m';
  const failed = await failureOf(commands, layers);
  if (failed === undefined) return undefined;
  return {
    level: 'warning',
    message: 'overlay file systems cannot be mounted in a user namespace: images of nodes would be copied, which is slow and large',
    commands: [['modprobe', 'overlay']],
    error: failed,
  };
}

/** What pods and services of a node are made of. A namespace cannot load what the kernel has as modules; nodes find them loaded. */
const NETWORKS = [
  { module: 'bridge', script: 'command -v ip >/dev/null || exit 0; ip link add name kvci0 type bridge' },
  { module: 'veth', script: 'command -v ip >/dev/null || exit 0; ip link add name kvci0 type veth peer name kvci1' },
  { module: 'nf_tables', script: 'command -v nft >/dev/null || exit 0; nft add table inet kvci' },
] as const;

/** Where the host has no programs to ask with, nothing is said. */
async function checkNetworks(commands: CommandRunner): Promise<HostProblem | undefined> {
  // Whether there are user namespaces is asked elsewhere.
  if ((await failureOf(commands, 'true', IN_NETWORK)) !== undefined) return undefined;
  const asked = await Promise.all(
    NETWORKS.map(async ({ module, script }) => ({ module, failed: await failureOf(commands, script, IN_NETWORK) })),
  );
  const lacking = asked.filter(({ failed }) => failed !== undefined);
  const [first] = lacking;
  if (first?.failed === undefined) return undefined;
  const modules = lacking.map(({ module }) => module);
  return {
    level: 'warning',
    message: `this kernel, as it is, lacks what networks of nodes are made of: ${modules.join(', ')}`,
    commands: [['modprobe', '--all', ...modules]],
    error: first.failed,
  };
}

async function failureOf(
  commands: CommandRunner,
  script: string,
  inside: readonly [string, ...string[]] = MOUNT,
): Promise<KvciError | undefined> {
  try {
    await commands.run([...inside, script]);
    return undefined;
  } catch (error) {
    // Whether there is unshare at all is asked elsewhere.
    if (!(error instanceof KvciError)) throw error;
    return error.code === 'command-missing' ? undefined : error;
  }
}

interface Limit {
  /** As sysctl(8) names it. */
  readonly name: string;
  readonly least: number;
  readonly what: string;
  /** Root's own limit is another setting, and high. */
  readonly ordinaryUsers?: boolean;
}

/** What a handful of nodes with their pods come to: what kind recommends (its "Known Issues"), and keyrings of containers. */
const LIMITS: readonly Limit[] = [
  { name: 'fs.inotify.max_user_instances', least: 512, what: 'each node and many pods take some' },
  { name: 'fs.inotify.max_user_watches', least: 65536, what: 'kubelets watch every file of their pods' },
  { name: 'kernel.keys.maxkeys', least: 1000, what: 'each container takes one', ordinaryUsers: true },
];

/** @param settings values by name; those that the kernel does not know are absent */
export function limitsProblem(settings: ReadonlyMap<string, number>, { uid }: { readonly uid: number }): HostProblem | undefined {
  const low = LIMITS.filter(({ name, least, ordinaryUsers }) => {
    const value = settings.get(name);
    return value !== undefined && value < least && (ordinaryUsers !== true || uid !== 0);
  });
  if (low.length === 0) return undefined;
  const lines = low.map(({ name, least, what }) => `${name} is ${settings.get(name) ?? 0}, less than ${least}: ${what}`);
  return {
    level: 'warning',
    message: `clusters of several container nodes meet low limits: ${lines.join('; ')}`,
    commands: low.map(({ name, least }) => ['sysctl', '-w', `${name}=${least}`] as const),
  };
}

/** @param disabled the setting disable_ipv6 of new network namespaces; undefined where the kernel has no IPv6 */
export function ipv6Problem(disabled: number | undefined): HostProblem | undefined {
  if (disabled === undefined) {
    return { level: 'warning', message: 'this kernel has no IPv6: clusters need --ip-family ipv4' };
  }
  if (disabled === 0) return undefined;
  return {
    level: 'warning',
    message: 'IPv6 is switched off for new interfaces: clusters need --ip-family ipv4',
    commands: [['sysctl', '-w', 'net.ipv6.conf.default.disable_ipv6=0']],
  };
}

async function readSettings(): Promise<ReadonlyMap<string, number>> {
  const values = await Promise.all(LIMITS.map(async ({ name }) => [name, await readSetting(name.replaceAll('.', '/'))] as const));
  return new Map(values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

async function readSetting(path: string): Promise<number | undefined> {
  const text = await readFile(`/proc/sys/${path}`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : Number(text);
}
