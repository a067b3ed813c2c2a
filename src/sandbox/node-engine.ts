import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '../core/clock.ts';
import { KvciError, messageOf } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import type { TemplateSources } from '../core/template.ts';
import type { Containers, Labels } from '../host/engine/containers.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import { lastLines } from '../host/command-error.ts';
import type { CommandRunner, Directories, Locks } from '../host/types.ts';
import { delegatedCgroup, furnishCgroup, removeCgroup } from './cgroup.ts';
import { type NodeEngineRecord, readRecord, removeRecord, writeRecord } from './node-engine-record.ts';
import { ENGINE_FOLDER } from './podman-config.ts';
import { configurePodman, SERVICE, SHOWN_LINES, SOCKET, untilAnswers } from './podman-service.ts';
import type { DetachedSandbox, Sandboxes } from './types.ts';

export interface NodeEngineParts {
  readonly sandboxes: Sandboxes;
  readonly directories: Pick<Directories, 'cache' | 'state'>;
  readonly locks: Locks;
  readonly clock: Clock;
  readonly connect: (endpoint: EngineEndpoint) => Promise<Containers>;
  /** Of `templates/`. */
  readonly templates: TemplateSources;
  readonly events: EventSink;
}

/** Podman in a sandbox of this user that lives as long as there are nodes. */
export interface NodeEngine extends AsyncDisposable {
  readonly containers: Containers;
  /** Runs commands in its sandbox, with the host's network. */
  readonly sandbox: CommandRunner;
  /** Runs commands in its sandbox, with the network that the nodes' networks are in. Everything of Podman has to. */
  readonly network: CommandRunner;
}

/** Where the sandbox sees kvci's image store. */
export const IMAGES_INSIDE = '/images';

/** The host's kernel modules, for nodes to see. */
const MODULES = '/lib/modules';

/** Everything that keeps the engine alive has this label. */
const KEEPS: Labels = { 'io.kvci.run': '' };

const NETWORK = '/run/netns/kvci';
const IN_NETWORK = ['nsenter', `--net=${NETWORK}`, '--'] as const;
const LOG = '/run/podman.log';

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

/** Runs a command that outlives whoever starts it: its parent becomes the sandbox's pid 1. */
const DETACH = `log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null &`;

/**
 * Starts this user's engine for nodes, or finds it, also when another process has started it, and starts anew what of it was
 * killed. Held by any number of processes: the last one to let go ends it when nothing with kvci's label is left.
 *
 * @throws KvciError `engine-not-started` with the last lines of the service, `cancelled`, and what a sandbox throws
 */
export async function openNodeEngine(parts: NodeEngineParts, signal: AbortSignal): Promise<NodeEngine> {
  const { directories, locks } = parts;
  await using stack = new AsyncDisposableStack();
  const use = stack.use(await locks.shared(useLock(directories), { signal }));
  const starting = await locks.exclusive(`${directories.state}/node-engine.start.lock`, { signal });
  let engine: Omit<NodeEngine, keyof AsyncDisposable>;
  try {
    engine = await findOrStart(parts, signal);
  } finally {
    await starting[Symbol.asyncDispose]();
  }
  stack.move();
  return {
    ...engine,
    [Symbol.asyncDispose]: async () => {
      await use[Symbol.asyncDispose]();
      await endUnusedNodeEngine(parts);
    },
  };
}

/** Ends the engine when nobody holds it and nothing of kvci is in it. Answers whether there was one to end. */
export async function endUnusedNodeEngine(parts: NodeEngineParts): Promise<boolean> {
  const alone = await parts.locks.tryExclusive(useLock(parts.directories));
  if (alone === undefined) return false;
  try {
    const record = await readRecord(parts.directories);
    if (record === undefined) return false;
    const sandbox = await sandboxOf(parts, record);
    if (sandbox !== undefined && (await isUsed(sandbox, parts))) return false;
    await end(parts, record, sandbox);
    return true;
  } finally {
    await alone[Symbol.asyncDispose]();
  }
}

function useLock({ state }: Pick<Directories, 'state'>): string {
  return `${state}/node-engine.use.lock`;
}

/** The lock of whoever starts an engine over the storage, or removes it. */
export function nodeStorageLock({ cache }: Pick<Directories, 'cache'>): string {
  return `${cache}/nodes.lock`;
}

export function nodeStorageFolder({ cache }: Pick<Directories, 'cache'>): string {
  return `${cache}/nodes`;
}

async function isUsed(sandbox: DetachedSandbox, parts: NodeEngineParts): Promise<boolean> {
  try {
    const containers = await parts.connect(endpointOf(sandbox));
    const lists = await Promise.all([containers.list(KEEPS), containers.networks(KEEPS), containers.volumes(KEEPS)]);
    return lists.some((list) => list.length > 0);
  } catch (error) {
    // Whether it is needed cannot be told without its service, which the next one who needs it starts anew.
    if (error instanceof KvciError && error.code === 'engine-unreachable') return true;
    throw error;
  }
}

async function findOrStart(parts: NodeEngineParts, signal: AbortSignal): Promise<Omit<NodeEngine, keyof AsyncDisposable>> {
  const record = await readRecord(parts.directories);
  const found = record === undefined ? undefined : await sandboxOf(parts, record);
  if (record !== undefined && found === undefined) await end(parts, record, undefined);
  const sandbox = found ?? (await startSandbox(parts, signal));
  const network = inNetwork(sandbox);
  const containers = await connectOrServe(sandbox, network, parts, signal);
  return { containers, sandbox, network };
}

async function sandboxOf(parts: NodeEngineParts, { sandbox }: NodeEngineRecord): Promise<DetachedSandbox | undefined> {
  return sandbox === undefined ? undefined : parts.sandboxes.find(sandbox);
}

async function startSandbox(parts: NodeEngineParts, signal: AbortSignal): Promise<DetachedSandbox> {
  const { directories } = parts;
  const folder = nodeStorageFolder(directories);
  const images = join(directories.cache, 'images');
  for (const path of [`${folder}/storage`, `${folder}/scratch`, images]) await mkdir(path, { recursive: true });
  const base = await delegatedCgroup();
  const cgroup = base === undefined ? undefined : join(base, `kvci-nodes-${randomBytes(4).toString('hex')}`);
  const record: NodeEngineRecord = { version: 1, cgroup };
  await writeRecord(directories, record);
  if (cgroup !== undefined) await mkdir(cgroup);
  const sandbox = await parts.sandboxes.startDetached(
    {
      name: 'nodes',
      binds: [
        { host: `${folder}/storage`, inside: ENGINE_FOLDER, writable: true },
        { host: images, inside: IMAGES_INSIDE, writable: false },
        ...(existsSync(MODULES) ? [{ host: MODULES, inside: MODULES, writable: false }] : []),
      ],
      scratch: `${folder}/scratch`,
      network: 'host',
      cgroups: true,
      ...(cgroup === undefined ? {} : { cgroup }),
      signal,
    },
    (started) => writeRecord(directories, { ...record, sandbox: started }),
  );
  try {
    if (cgroup !== undefined) await furnishCgroup(cgroup);
    await sandbox.run(['find', '/var/tmp', '-mindepth', '1', '-delete'], { signal });
    await sandbox.run(['sh', '-c', MAKE_NETWORK], { signal });
    await reachOutside(sandbox, parts.events, signal);
    await configurePodman(sandbox, parts.templates, signal);
  } catch (error) {
    // Half-made it would be found by the next one, and fail there.
    await end(parts, record, sandbox);
    throw error;
  }
  return sandbox;
}

/** Nodes need no network but their own; where the host has one they get it. */
async function reachOutside(sandbox: DetachedSandbox, events: EventSink, signal: AbortSignal): Promise<void> {
  const ports = ['--tcp-ports', '--udp-ports', '--tcp-ns', '--udp-ns'].flatMap((option) => [option, 'none']);
  try {
    await sandbox.run(['pasta', '--config-net', '--quiet', '--runas', '0:0', ...ports, '--netns', NETWORK], { signal });
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError)) throw error;
    events({ type: 'problem', level: 'note', message: `nodes have no network but their own: ${messageOf(error)}` });
  }
}

/** Ends what there is of an engine, and forgets it. */
async function end(parts: NodeEngineParts, record: NodeEngineRecord, sandbox: DetachedSandbox | undefined): Promise<void> {
  await sandbox?.end();
  if (record.cgroup !== undefined) await removeCgroup(record.cgroup);
  await removeRecord(parts.directories);
}

function inNetwork(sandbox: DetachedSandbox): CommandRunner {
  return {
    where: sandbox.where,
    run: async (argv, options) => ({ ...(await sandbox.run([...IN_NETWORK, ...argv], options)), argv }),
  };
}

function endpointOf(sandbox: DetachedSandbox): EngineEndpoint {
  return { address: { transport: 'unix', path: `/proc/${sandbox.record.pid}/root${SOCKET}` }, origin: 'started by kvci' };
}

async function connectOrServe(
  sandbox: DetachedSandbox,
  network: CommandRunner,
  parts: NodeEngineParts,
  signal: AbortSignal,
): Promise<Containers> {
  const connect = (): Promise<Containers> => parts.connect(endpointOf(sandbox));
  try {
    return await connect();
  } catch (error) {
    if (!(error instanceof KvciError) || error.code !== 'engine-unreachable') throw error;
  }
  await startDetached(network, LOG, SERVICE, signal);
  return untilAnswers(connect, {
    clock: parts.clock,
    signal,
    ended: async () => {
      const { exitCode } = await sandbox.run(['pgrep', '--full', SERVICE.join(' ')], { accept: [1] });
      return exitCode === 0 ? undefined : 'it ended';
    },
    lines: async () => [lastLines((await sandbox.run(['tail', '-n', String(SHOWN_LINES), LOG])).stdout)],
  });
}

/** Starts a command that lives until it ends or the sandbox does; what it says goes to a file there. */
export async function startDetached(
  runner: CommandRunner,
  log: string,
  argv: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<void> {
  await runner.run(['sh', '-c', DETACH, 'sh', log, ...argv], { signal });
}
