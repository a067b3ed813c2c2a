import type { Labels } from '../host/engine/containers.ts';
import type { HeldRequest } from '../host/engine/held.ts';
import type { JobBind } from '../host/engine/jobs.ts';
import type { ContainerRecord, SandboxRequest } from './types.ts';

/** Every container of a sandbox has it: its value is the sandbox's id. */
export const SANDBOX_LABEL = 'io.kvci.sandbox';

/** What its first process looks for when nobody holds it any longer (`contain` in init.sh). */
export const TOLD_TO_STAY = ['touch', '/dev/shm/kvci-stay'] as const;

/** Which network a container of a sandbox sees: `private` is that of the sandbox itself. */
const NETWORK_LABEL = 'io.kvci.sandbox/network';

/** Inside: what this host sees of a sandbox, sockets above all. */
export const SHARED = '/run/kvci';

/** What machines open; those that the host has are handed on. */
const DEVICES = ['/dev/net/tun', '/dev/kvm', '/dev/vhost-net', '/dev/vhost-vsock'];

/** What commands in a sandbox may do beyond what an ordinary user may. */
const OWN_CAPABILITIES: Readonly<Record<ContainerRecord['network'], readonly string[]>> = {
  private: [
    // ip: bridges, taps, addresses; QEMU: to take hold of a tap; dnsmasq: to answer machines that have no address yet.
    'NET_ADMIN',
    // dnsmasq: raw sockets, for DHCP and router advertisements.
    'NET_RAW',
    // dnsmasq: the ports of DHCP and DNS.
    'NET_BIND_SERVICE',
  ],
  // There nothing may be changed; haproxy: ports that somebody asks for.
  host: ['NET_BIND_SERVICE'],
};

/** What root inside needs to become somebody else, for every command. */
const BECOMING = ['SETUID', 'SETGID', 'SETPCAP'];

const AS_ROOT = [
  // Root reads disks of other users, as it does without a container.
  'DAC_OVERRIDE',
  // dnsmasq: gives up the groups that it has, which root does before it serves.
  'SETGID',
];

type Seen = Pick<ContainerRecord, 'network' | 'user'>;

export function capabilitiesOf({ network, user }: Seen): readonly string[] {
  return [...OWN_CAPABILITIES[network], ...(user === undefined ? AS_ROOT : BECOMING)];
}

/**
 * Words before every command in a container. Where root inside is root of the host and kvci is an ordinary user, commands are that
 * user, so that what they write is theirs. Either program tells what is missing in words that are known.
 */
export function throughUser({ network, user }: Seen): readonly string[] {
  if (user === undefined) return ['env'];
  const capabilities = OWN_CAPABILITIES[network].map((name) => `+${name.toLowerCase()}`).join(',');
  return [
    'setpriv',
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    '--clear-groups',
    `--inh-caps=${capabilities}`,
    `--ambient-caps=${capabilities}`,
    '--',
  ];
}

/** Labels of the container of a sandbox that sees a network. */
export function sandboxLabels(id: string, network: ContainerRecord['network']): Labels {
  return { [SANDBOX_LABEL]: id, [NETWORK_LABEL]: network };
}

export interface ContainerPlan {
  readonly record: ContainerRecord;
  readonly image: string;
  /** Text of `init.sh`. */
  readonly init: string;
  /** Whether the host has a file. */
  readonly exists: (path: string) => boolean;
  readonly onLine: HeldRequest['onLine'];
}

/** The container that a sandbox is. @param request its paths are real: no links of the host */
export function sandboxContainer(
  { record, image, init, exists, onLine }: ContainerPlan,
  request: Pick<SandboxRequest, 'binds' | 'scratch' | 'settings' | 'outbound'>,
): HeldRequest {
  const { name, id, network, folder } = record;
  const devices = DEVICES.filter(exists);
  const { scratch } = request;
  const binds: JobBind[] = [
    { host: folder, inside: SHARED, writable: true },
    ...request.binds,
    ...(scratch === undefined ? [] : ['/tmp', '/var/tmp'].map((inside) => ({ host: scratch, inside, writable: true }))),
  ];
  return {
    name: containerName(name, id, network),
    hostname: 'sandbox',
    image,
    command: ['/bin/sh', '-c', init, 'init.sh', 'contain', ...devices],
    labels: sandboxLabels(id, network),
    capabilities: capabilitiesOf(record),
    devices,
    binds,
    tmpfs: { '/run': 'rw,exec,mode=755', ...(scratch === undefined ? { '/tmp': 'rw,exec,mode=1777' } : {}) },
    network: network === 'host' ? 'host' : request.outbound === true ? 'bridge' : 'none',
    sysctls: network === 'host' ? {} : sysctlsOf(request.settings ?? {}, exists),
    onLine,
  };
}

/**
 * The container in which commands of a sandbox see the host's network: it stands beside the sandbox's own, of which it is one more
 * process, and with which it ends.
 *
 * @param among id of the sandbox's own
 */
export function besideContainer(plan: ContainerPlan, among: string): HeldRequest {
  return { ...sandboxContainer({ ...plan, record: { ...plan.record, network: 'host' } }, { binds: [] }), devices: [], among };
}

/** Engines refuse settings that the kernel does not have. */
function sysctlsOf(settings: Readonly<Record<string, string>>, exists: (path: string) => boolean): Record<string, string> {
  const known = Object.entries(settings).filter(([path]) => exists(`/proc/sys/${path}`));
  return Object.fromEntries(known.map(([path, value]) => [path.replaceAll('/', '.'), value]));
}

/** For people; kvci goes by labels. */
function containerName(name: string, id: string, network: ContainerRecord['network']): string {
  const safe = name.replaceAll(/[^A-Za-z0-9_.-]+/g, '-');
  return `kvci-${safe}-${id}${network === 'host' ? '-host' : ''}`;
}
