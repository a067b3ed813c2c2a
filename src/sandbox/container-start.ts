import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { Digest } from '../core/digest.ts';
import { cancelled, KvciError, throwIfCancelled } from '../core/errors.ts';
import { lastLines } from '../host/command-error.ts';
import type { Containers } from '../host/engine/containers.ts';
import type { HeldContainer, HeldContainers, HeldRequest } from '../host/engine/held.ts';
import type { ExecRunnerParts } from '../host/exec-runner.ts';
import { OutputText } from '../host/output-text.ts';
import type { CommandRunner, ContainerEngine, Directories, Ledger, Locks } from '../host/types.ts';
import { sourceOf } from './bind-source.ts';
import { besideContainer, type ContainerPlan, sandboxContainer, throughUser, TOLD_TO_STAY } from './container-request.ts';
import { endedError } from './ended-error.ts';
import type { Environment } from './enter.ts';
import type { HostUser } from './map-ids.ts';
import { toolsInEngine } from './tools-in-engine.ts';
import type { ContainerRecord, SandboxRequest } from './types.ts';

/** An engine of this host, as sandboxes use it. */
export interface SandboxEngine {
  readonly containers: Pick<Containers, 'info' | 'list' | 'remove' | 'exec'>;
  readonly held: () => Promise<HeldContainers>;
  readonly images: () => Promise<Pick<ContainerEngine, 'hasImage' | 'importRoot'>>;
}

export interface ContainerSandboxesParts extends ExecRunnerParts {
  /** The host's. */
  readonly commands: CommandRunner;
  readonly directories: Pick<Directories, 'runtime'>;
  readonly locks: Locks;
  readonly ledger: Ledger;
  /** kvci's own environment: proxies are handed on, everything else is hidden. */
  readonly environment: Environment;
  /** Text of `templates/sandbox/init.sh`. */
  readonly init: () => Promise<string>;
  readonly user: Pick<HostUser, 'uid' | 'gid'>;
  /** Socket of the engine that new ones are started in, where none is named. */
  readonly socket: () => Promise<string>;
  /** @param sandbox for whose sake, for errors @throws KvciError `engine-unreachable` */
  readonly connect: (socket: string, sandbox: string) => Promise<SandboxEngine>;
  /** The tools image, made first if it is not there. */
  readonly tools: (signal: AbortSignal) => Promise<{ readonly tree: string; readonly key: Digest }>;
}

/** Ledger kind of a sandbox that is a container and bound to a kvci, or not yet whole. */
export const SANDBOX_CONTAINER = 'sandbox-container';

/** How long the first process may take from its start to "ready" before it counts as hung. */
const START_DEADLINE_MS = 60_000;

/** What the path of a socket (107 bytes at most) leaves for the folder that is `/run/kvci` inside. */
const LONGEST_FOLDER = 64;

/** A container that has just been started. */
export interface StartedContainer {
  readonly record: ContainerRecord;
  readonly box: SandboxEngine;
  readonly container: HeldContainer;
  readonly entry: Awaited<ReturnType<Ledger['enter']>>;
}

/**
 * Starts the container of a sandbox, which is in the ledger before it exists.
 *
 * @throws KvciError `engine-unreachable`, `engine-elsewhere`, `path-too-long`, `sandbox-failed`, `cancelled`
 */
export async function startContainer(parts: ContainerSandboxesParts, request: SandboxRequest): Promise<StartedContainer> {
  const { name, signal } = request;
  if (request.cgroups || request.cgroup !== undefined) {
    throw new KvciError('bug', 'no-cgroups', `the sandbox "${name}" is to have control groups, which a container has from its engine`);
  }
  throwIfCancelled(signal);
  const engine = request.engine ?? (await parts.socket());
  const box = await parts.connect(engine, name);
  const image = await imageIn(parts, box, signal);
  const record = newRecord(parts, request, engine, box.containers.info.rootless);
  const { id, folder } = record;
  const binds = await Promise.all(request.binds.map(async (bind) => ({ ...bind, host: await sourceOf(bind.host, name) })));
  const scratch = request.scratch === undefined ? {} : { scratch: await sourceOf(request.scratch, name) };
  await using undo = new AsyncDisposableStack();
  const entry = undo.use(await parts.ledger.enter(SANDBOX_CONTAINER, { engine, id, folder, name }));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const plan = await planOf(parts, record, image);
  const start = (outbound: boolean): Promise<HeldContainer> =>
    startReady(box, name, (onLine) => sandboxContainer({ ...plan, onLine }, { ...request, ...scratch, binds, outbound }), signal);
  const container = await (request.outbound === true ? start(true).catch(orClosed(parts, name, () => start(false))) : start(false));
  undo.move();
  return { record, box, container, entry };
}

/**
 * Starts the container beside a sandbox in which commands see the host's network. Nobody has to hold it: it ends with the other.
 *
 * @param main id of the sandbox's own container
 * @returns its id
 */
export async function startBeside(
  parts: ContainerSandboxesParts,
  box: SandboxEngine,
  record: ContainerRecord,
  main: string,
): Promise<string> {
  const { signal } = new AbortController();
  const plan = await planOf(parts, record, await imageIn(parts, box, signal));
  const container = await startReady(box, record.name, (onLine) => besideContainer({ ...plan, onLine }, main), signal);
  await letStay(box, { ...record, network: 'host' }, container);
  return container.id;
}

/** An engine need have no network of its own (Docker's `--bridge=none`): what is inside does without one then, and it is said. */
function orClosed({ events }: ContainerSandboxesParts, name: string, start: () => Promise<HeldContainer>) {
  return (error: unknown): Promise<HeldContainer> => {
    if (!(error instanceof KvciError) || !/network/i.test(error.message)) throw error;
    const message = `the engine has no network for the sandbox "${name}", which is closed: ${error.message}`;
    events({ type: 'problem', level: 'note', message });
    return start();
  };
}

function newRecord(
  { directories, user }: ContainerSandboxesParts,
  { name, network }: SandboxRequest,
  engine: string,
  rootless: boolean,
): ContainerRecord {
  const id = randomBytes(6).toString('hex');
  const folder = join(directories.runtime, 'boxes', id);
  if (Buffer.byteLength(folder) > LONGEST_FOLDER) {
    throw new KvciError('hostNotReady', 'path-too-long', `the path of kvci's runtime folder is too long for sockets: ${folder}`, {
      hint: 'Set KVCI_RUNTIME_DIR to a folder with a shorter path.',
    });
  }
  const { uid, gid } = user;
  return { kind: 'container', name, id, engine, network, folder, ...(uid === 0 || rootless ? {} : { user: { uid, gid } }) };
}

async function planOf(parts: ContainerSandboxesParts, record: ContainerRecord, image: string): Promise<Omit<ContainerPlan, 'onLine'>> {
  return { record, image, init: await parts.init(), exists: existsSync };
}

async function imageIn(parts: ContainerSandboxesParts, { images, containers }: SandboxEngine, signal: AbortSignal): Promise<string> {
  const onCopy = (name: string): void => {
    const message = `the tools image is copied into ${containers.info.name}, once, as ${name}`;
    parts.events({ type: 'problem', level: 'note', message });
  };
  return toolsInEngine({ ...parts, engine: await images(), onCopy }, await parts.tools(signal), signal);
}

/** Starts a container and waits until its first process is ready. @throws KvciError `sandbox-failed` with what it said */
async function startReady(
  { held, containers }: SandboxEngine,
  name: string,
  requestFor: (onLine: HeldRequest['onLine']) => HeldRequest,
  signal: AbortSignal,
): Promise<HeldContainer> {
  const said: string[] = [];
  const ready = Promise.withResolvers<'ready'>();
  const request = requestFor((line) => {
    said.push(line);
    if (line === 'ready') ready.resolve('ready');
  });
  const container = await (await held()).start(request, signal).catch((error: unknown) => {
    throw refused(name, error);
  });
  const giveUp = AbortSignal.any([signal, AbortSignal.timeout(START_DEADLINE_MS)]);
  const late = Promise.withResolvers<'late'>();
  const onAbort = (): void => {
    late.resolve('late');
  };
  giveUp.addEventListener('abort', onAbort);
  const outcome = await Promise.race([ready.promise, container.ended.then(() => 'ended' as const), late.promise]);
  giveUp.removeEventListener('abort', onAbort);
  if (outcome === 'ready') return container;
  container.hangUp();
  await containers.remove(container.id);
  if (signal.aborted) throw cancelled(signal);
  const why = outcome === 'late' ? [...said, `not ready after ${START_DEADLINE_MS / 1000} s`] : said;
  throw new KvciError('failed', 'sandbox-failed', `the sandbox "${name}" did not start:\n${lastLines(why.join('\n'))}`);
}

/** Lets go of a container that is to stay. @throws KvciError `sandbox-ended` */
export async function letStay({ containers }: SandboxEngine, record: ContainerRecord, container: HeldContainer): Promise<void> {
  const stdout = new OutputText({ keep: false });
  const request = { argv: TOLD_TO_STAY, env: {}, through: throughUser(record), stdout, stderr: stdout } as const;
  if ((await containers.exec(container.id, request)) !== 0) throw endedError(record.name);
  container.hangUp();
}

/** An engine mounts folders of its own host. */
function refused(name: string, error: unknown): unknown {
  if (!(error instanceof KvciError) || !/bind source path does not exist|statfs .*no such file/i.test(error.message)) return error;
  return new KvciError(
    'hostNotReady',
    'engine-elsewhere',
    `the sandbox "${name}" cannot be a container: its engine does not see this host's folders`,
    { hint: 'Name an engine of this very host as "engine" in kvci.yaml, or use --sandbox namespaces.', cause: error },
  );
}
