import type { Clock } from '../core/clock.ts';
import { KvciError } from '../core/errors.ts';
import type { Containers, Labels } from '../host/engine/containers.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import { lastLines } from '../host/command-error.ts';
import type { CommandRunner, Directories, Locks } from '../host/types.ts';
import { delegatedCgroup, removeCgroup, sweepCgroups } from './cgroup.ts';
import { holderPath, type NodeEngineRecord, readRecord, recordPath, removeRecord, writeRecord } from './node-engine-record.ts';
import { GROUP_PREFIX, NETWORK, type NodeSandboxParts, startNodeSandbox } from './node-sandbox.ts';
import { SERVICE, SHOWN_LINES, SOCKET, untilAnswers } from './podman-service.ts';
import { engineFolder, engineLock, removeEngineStorage, type StorageParts } from './podman-storage.ts';
import { type DetachedSandbox, toolsOf } from './types.ts';

export interface NodeEngineParts extends NodeSandboxParts {
  readonly directories: Pick<Directories, 'cache' | 'state'>;
  readonly locks: Locks;
  readonly clock: Clock;
  readonly connect: (endpoint: EngineEndpoint) => Promise<Containers>;
}

/** What ending an engine takes. */
export type EndParts = Pick<NodeEngineParts, 'sandboxes' | 'directories' | 'locks' | 'clock' | 'connect'>;

/** Podman in a sandbox of this user that lives as long as there are nodes. */
export interface NodeEngine extends AsyncDisposable {
  readonly containers: Containers;
  /** Runs commands in its sandbox, with the host's network. */
  readonly sandbox: DetachedSandbox;
  /** Runs commands in its sandbox, with the network that the nodes' networks are in. Everything of Podman has to. */
  readonly network: CommandRunner;
}

/** Everything that keeps the engine alive has this label. */
const KEEPS: Labels = { 'io.kvci.run': '' };

const IN_NETWORK = ['nsenter', `--net=${NETWORK}`, '--'] as const;
const LOG = '/run/podman.log';

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
  const starting = await locks.exclusive(startLock(directories), { signal });
  let engine: Omit<NodeEngine, keyof AsyncDisposable>;
  try {
    engine = await findOrStart(parts, signal);
  } finally {
    await starting[Symbol.asyncDispose]();
  }
  stack.move();
  return { ...engine, [Symbol.asyncDispose]: () => letGo(use, parts) };
}

/** The engine that runs, its service started anew where that was killed; undefined where none runs. It starts none. */
export async function findNodeEngine(parts: EndParts, signal: AbortSignal): Promise<NodeEngine | undefined> {
  const { directories, locks } = parts;
  await using stack = new AsyncDisposableStack();
  const use = stack.use(await locks.shared(useLock(directories), { signal }));
  const starting = await locks.exclusive(startLock(directories), { signal });
  try {
    const record = await readRecord(recordPath(directories));
    const sandbox = record?.ready === true ? await sandboxOf(parts, record) : undefined;
    if (sandbox === undefined) return undefined;
    const network = inNetwork(sandbox);
    const containers = await connectOrServe(sandbox, network, parts, signal);
    stack.move();
    return { containers, sandbox, network, [Symbol.asyncDispose]: () => letGo(use, parts) };
  } finally {
    await starting[Symbol.asyncDispose]();
  }
}

async function letGo(use: AsyncDisposable, parts: EndParts): Promise<void> {
  await use[Symbol.asyncDispose]();
  await endUnusedNodeEngine(parts);
}

/** Held by whoever starts what is missing. */
function startLock(directories: Pick<Directories, 'cache'>): string {
  return `${engineFolder(directories, 'nodes')}.start.lock`;
}

/**
 * Ends the engine when nobody holds it and nothing of kvci is in it. Answers whether there was one to end.
 *
 * @param needed whether it is kept where its service cannot tell what is in it; nobody can begin to use it meanwhile
 */
export async function endUnusedNodeEngine(parts: EndParts, needed = (): Promise<boolean> => Promise.resolve(true)): Promise<boolean> {
  const alone = await parts.locks.tryExclusive(useLock(parts.directories));
  if (alone === undefined) return false;
  try {
    const base = await delegatedCgroup();
    if (base !== undefined) await sweepCgroups(base, GROUP_PREFIX, parts.clock.now());
    const record = await readRecord(recordPath(parts.directories));
    if (record === undefined) return false;
    const sandbox = await sandboxOf(parts, record);
    if (sandbox !== undefined && ((await isUsed(sandbox, parts)) ?? (await needed()))) return false;
    await end(parts, record, sandbox);
    return true;
  } finally {
    await alone[Symbol.asyncDispose]();
  }
}

/** The folder of the tools image that the engine stands on while it runs: what may not be removed. */
export async function nodeEngineTools(parts: Pick<NodeEngineParts, 'directories' | 'sandboxes'>): Promise<string | undefined> {
  return toolsOf((await runningOver(parts))?.record);
}

/** Removes what the engine keeps; answers false while it runs or somebody starts it. */
export async function removeNodeStorage(parts: StorageParts & Pick<NodeEngineParts, 'directories' | 'sandboxes'>): Promise<boolean> {
  return (await runningOver(parts)) === undefined && removeEngineStorage(parts, 'nodes');
}

/** Whoever uses the engine holds it, shared. */
function useLock(directories: Pick<Directories, 'cache'>): string {
  return engineLock(directories, 'nodes');
}

/** Undefined when its service, which the next one who needs it starts anew, does not answer. */
async function isUsed(sandbox: DetachedSandbox, parts: EndParts): Promise<boolean | undefined> {
  try {
    const containers = await parts.connect(endpointOf(sandbox));
    const lists = await Promise.all([containers.list(KEEPS), containers.networks(KEEPS), containers.volumes(KEEPS)]);
    return lists.some((list) => list.length > 0);
  } catch (error) {
    if (error instanceof KvciError && error.code === 'engine-unreachable') return undefined;
    throw error;
  }
}

/** The engine that runs over the storage, whichever state directory it is of. */
async function runningOver({
  directories,
  sandboxes,
}: Pick<NodeEngineParts, 'directories' | 'sandboxes'>): Promise<DetachedSandbox | undefined> {
  const record = await readRecord(holderPath(directories));
  return record === undefined ? undefined : sandboxOf({ sandboxes }, record);
}

async function findOrStart(parts: NodeEngineParts, signal: AbortSignal): Promise<Omit<NodeEngine, keyof AsyncDisposable>> {
  const record = await readRecord(recordPath(parts.directories));
  const found = record === undefined ? undefined : await sandboxOf(parts, record);
  // Whoever starts one holds the lock that we hold: half-made it stays.
  const usable = record?.ready === true ? found : undefined;
  if (record !== undefined && usable === undefined) await end(parts, record, found);
  const sandbox = usable ?? (await start(parts, signal));
  const network = inNetwork(sandbox);
  const containers = await connectOrServe(sandbox, network, parts, signal);
  return { containers, sandbox, network };
}

async function sandboxOf(parts: Pick<NodeEngineParts, 'sandboxes'>, { sandbox }: NodeEngineRecord): Promise<DetachedSandbox | undefined> {
  return sandbox === undefined ? undefined : parts.sandboxes.find(sandbox);
}

async function start(parts: NodeEngineParts, signal: AbortSignal): Promise<DetachedSandbox> {
  const { directories } = parts;
  if ((await runningOver(parts)) !== undefined) {
    throw new KvciError('hostNotReady', 'node-storage-in-use', `another kvci runs nodes over ${engineFolder(directories, 'nodes')}`, {
      hint: 'It has another state directory: use the same KVCI_STATE_DIR, or give this one a KVCI_CACHE_DIR of its own.',
    });
  }
  let kept: NodeEngineRecord | undefined;
  try {
    return await startNodeSandbox(parts, (record) => writeRecord(directories, (kept = record)), signal);
  } catch (error) {
    // Half-made it would be found by the next one, and fail there.
    if (kept !== undefined) await end(parts, kept, await sandboxOf(parts, kept));
    throw error;
  }
}

/** Ends what there is of an engine, and forgets it. */
async function end(parts: EndParts, record: NodeEngineRecord, sandbox: DetachedSandbox | undefined): Promise<void> {
  await sandbox?.end();
  if (record.cgroup !== undefined) await removeCgroup(record.cgroup);
  await removeRecord(parts.directories, record);
}

function inNetwork(sandbox: DetachedSandbox): CommandRunner {
  return {
    where: sandbox.where,
    run: async (argv, options) => ({ ...(await sandbox.run([...IN_NETWORK, ...argv], options)), argv }),
  };
}

function endpointOf(sandbox: DetachedSandbox): EngineEndpoint {
  return { address: { transport: 'unix', path: sandbox.outside(SOCKET) }, origin: 'started by kvci' };
}

async function connectOrServe(
  sandbox: DetachedSandbox,
  network: CommandRunner,
  parts: Pick<NodeEngineParts, 'connect' | 'clock'>,
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
