import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { KvciError, messageOf } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import type { TemplateSources } from '../core/template.ts';
import type { CommandRunner, Directories } from '../host/types.ts';
import { delegatedCgroup, furnishCgroup } from './cgroup.ts';
import type { NodeEngineRecord } from './node-engine-record.ts';
import { ENGINE_FOLDER } from './podman-config.ts';
import { configurePodman } from './podman-service.ts';
import { engineFolder } from './podman-storage.ts';
import { pastaArgv, RESOLVER } from './pasta.ts';
import type { DetachedSandbox, Sandboxes } from './types.ts';

export interface NodeSandboxParts {
  readonly sandboxes: Sandboxes;
  readonly directories: Pick<Directories, 'cache'>;
  /** Effective user id. */
  readonly uid: number;
  /** Of `templates/`. */
  readonly templates: TemplateSources;
  readonly events: EventSink;
}

/** What the control groups of engines are called. */
export const GROUP_PREFIX = 'kvci-nodes-';

/** Where the sandbox sees kvci's image store. */
export const IMAGES_INSIDE = '/images';

/** Where the sandbox sees what kvci has made, disks among it, and what virtual machines write. */
export const ARTIFACTS_INSIDE = '/artifacts';
export const VMS_INSIDE = '/vms';

/** The host's kernel modules, for nodes to see. */
const MODULES = '/lib/modules';

/** The network namespace that the networks of nodes are in, as a file in the sandbox. */
export const NETWORK = '/run/netns/kvci';

/**
 * A network namespace that belongs to the sandbox: in the host's own a sandbox may change nothing. The load balancers listen at
 * addresses of bridges that come and go with the containers.
 */
const MAKE_NETWORK = `set -e
mkdir -p /run/netns
mount --bind /run/netns /run/netns
mount --make-private /run/netns
: >${NETWORK}
unshare --net=${NETWORK} sh -ec '
  ip link set lo up
  echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind
  if [ -d /proc/sys/net/ipv6 ]; then echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind; fi
'
`;

/**
 * Starts the sandbox of the engine for nodes, ready for Podman: with a control group, a network and storage of its own.
 *
 * @param keep writes down what there is, before there is anything, when the sandbox runs, and when all in it stands
 * @throws KvciError `no-delegated-cgroup`, and what a sandbox throws
 */
export async function startNodeSandbox(
  parts: NodeSandboxParts,
  keep: (record: NodeEngineRecord) => Promise<void>,
  signal: AbortSignal,
): Promise<DetachedSandbox> {
  const { directories } = parts;
  const folder = engineFolder(directories, 'nodes');
  const [images, artifacts, vms] = ['images', 'artifacts', 'machines'].map((name) => join(directories.cache, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [`${folder}/storage`, `${folder}/scratch`, images, artifacts, vms]) await mkdir(path, { recursive: true });
  const base = await delegatedCgroup();
  if (base === undefined && parts.uid !== 0) throw noCgroup();
  const cgroup = base === undefined ? undefined : join(base, `${GROUP_PREFIX}${randomBytes(4).toString('hex')}`);
  const record: NodeEngineRecord = { version: 1, cgroup, ready: false };
  await keep(record);
  if (cgroup !== undefined) await mkdir(cgroup);
  const sandbox = await parts.sandboxes.startDetached(
    {
      name: 'nodes',
      binds: [
        { host: `${folder}/storage`, inside: ENGINE_FOLDER, writable: true },
        { host: images, inside: IMAGES_INSIDE, writable: false },
        { host: artifacts, inside: ARTIFACTS_INSIDE, writable: false },
        { host: vms, inside: VMS_INSIDE, writable: true },
        ...(existsSync(MODULES) ? [{ host: MODULES, inside: MODULES, writable: false }] : []),
      ],
      scratch: `${folder}/scratch`,
      network: 'host',
      cgroups: true,
      ...(cgroup === undefined ? {} : { cgroup }),
      signal,
    },
    (started) => keep({ ...record, sandbox: started }),
  );
  if (cgroup !== undefined) await furnishCgroup(cgroup);
  await sandbox.run(['find', '/var/tmp', '-mindepth', '1', '-delete'], { signal });
  await sandbox.run(['sh', '-c', MAKE_NETWORK], { signal });
  await reachOutside(sandbox, parts.events, signal);
  await configurePodman(sandbox, parts.templates, signal);
  await keep({ ...record, sandbox: sandbox.record, ready: true });
  return sandbox;
}

/**
 * Who answers for names in the networks of nodes asks whom the sandbox would: a server on the host's loopback by the address that leads
 * there, all others as they are.
 */
const LEAD_TO_RESOLVER = `[ ! -e /etc/resolv.conf ] ||
  sed -E -i 's/^(nameserver[[:space:]]+)(127\\.[0-9.]+|::1)[[:space:]]*$/\\1${RESOLVER}/' /etc/resolv.conf`;

function noCgroup(): KvciError {
  return new KvciError('hostNotReady', 'no-delegated-cgroup', 'this user may make no control groups here, which containers are kept in', {
    hint: 'Start kvci in a unit of your own: systemd-run --user --scope --property=Delegate=yes kvci ...',
  });
}

/**
 * Nodes need no network but their own; where the host has one they get it, and nothing of its loopback.
 *
 * @param sandbox with the host's network
 */
export async function reachOutside(sandbox: CommandRunner, events: EventSink, signal: AbortSignal): Promise<void> {
  try {
    await sandbox.run(pastaArgv(NETWORK), { signal });
    await sandbox.run(['sh', '-c', LEAD_TO_RESOLVER], { signal });
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError)) throw error;
    events({ type: 'problem', level: 'note', message: `nodes have no network but their own: ${messageOf(error)}` });
  }
}
