import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';

import type { Clock } from '../../core/clock.ts';
import { deadline } from '../../core/deadline.ts';
import { KvciError, throwIfCancelled } from '../../core/errors.ts';
import type { ContainerInfo, ContainerRequest, Containers } from '../../host/engine/containers.ts';
import { holdPort } from '../../host/free-port.ts';
import type { Tar, TarEntryWithContent } from '../../host/tar.ts';
import type { ContainerEngine, EngineInfo } from '../../host/types.ts';
import { OWNER_LABEL, RUN_LABEL } from './labels.ts';

/** What all containers of a probe have in place of the life of a cluster. */
export const PROBE_RUN = 'probe';

/** Where programs and their loader are on the engine's host: the image is empty, nothing has to be downloaded. */
const USR = '/usr';
const USERLAND = [USR, '/lib', '/lib64'];

const NOTHING = ['/usr/bin/true'];

/** What systemd does first in a node. */
const MAKE_GROUP = ['/usr/bin/mkdir', '/sys/fs/cgroup/kvci-probe'];

/** The network that engines have from the start; Podman takes the word for its own. */
const DEFAULT_NETWORK = 'bridge';

const PORT_INSIDE = 6443;

/** For a hang: what is run ends at once. */
const ENDED_MS = 30_000;
const POLL_MS = 50;

export interface ProbedEngine {
  readonly engine: Pick<ContainerEngine, 'importRoot' | 'remove'>;
  /** Of the same engine. */
  readonly containers: Pick<Containers, 'info' | 'create' | 'start' | 'list' | 'remove'>;
  readonly tar: Pick<Tar, 'write'>;
  /** Whether this host has a folder, where the engine is its; undefined where that is of another. */
  readonly exists: ((path: string) => boolean) | undefined;
  /** What tells this user's things in the engine from those of others. */
  readonly owner: string;
  readonly clock: Clock;
}

/** What keeps nodes out of an engine. */
export interface NodeProblem {
  /**
   * `elsewhere`: its ports are not this host's. `open`: anybody may use it. `closed`: its nodes do not reach what they are to reach.
   * `unclear`: it could not be found out.
   */
  readonly kind: 'unprivileged' | 'elsewhere' | 'open' | 'closed' | 'unclear';
  /** What follows the name of the engine: `may not start privileged containers (...)`. */
  readonly message: string;
}

/**
 * Why an engine cannot have nodes: found out by starting two containers that end at once. Undefined where it can.
 *
 * Engines that run in a container themselves, or without the rights of root, say nothing of it before, nor does the socket of an
 * outer host's engine tell where it leads. One process of a user at a time may ask.
 */
export async function nodeProblem(probed: ProbedEngine, signal: AbortSignal): Promise<NodeProblem | undefined> {
  const { engine, tar, owner } = probed;
  const image = probeImage(owner);
  const ask = async (): Promise<NodeProblem | undefined> => {
    await engine.importRoot(tar.write(rootEntries(probed)), image, signal);
    return (
      (await privilegeProblem(probed, image, signal)) ??
      // Of another host nobody asks for its loopback.
      (probed.exists === undefined ? undefined : await loopbackProblem(probed, image, signal))
    );
  };
  try {
    return await thenRemove(ask, () => engine.remove(image));
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError) || error.reason === 'bug') throw error;
    return { kind: 'unclear', message: `cannot be asked (${error.message})` };
  }
}

/** What is imported for as long as an engine is asked. */
export function probeImage(owner: string): string {
  return `localhost/kvci/probe-${owner}:latest`;
}

/**
 * Why nodes are not to be in an engine. One that nobody named is not even asked where it has not the rights of root; one that is
 * named is believed where it cannot be found out.
 */
export async function reasonAgainst(
  named: boolean,
  { rootless }: Pick<EngineInfo, 'rootless'>,
  ask: () => Promise<NodeProblem | undefined>,
): Promise<NodeProblem | undefined> {
  if (!named && rootless) return { kind: 'unprivileged', message: 'runs without the rights of root' };
  const problem = await ask();
  return named && problem?.kind === 'unclear' ? undefined : problem;
}

/** Takes away what something was done with. Where that failed, its reason is what matters. */
async function thenRemove<T>(work: () => Promise<T>, remove: () => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await remove().catch(() => undefined);
    throw error;
  }
  await remove();
  return result;
}

async function privilegeProblem(probed: ProbedEngine, image: string, signal: AbortSignal): Promise<NodeProblem | undefined> {
  const { rootless } = probed.containers.info;
  const command = rootless ? MAKE_GROUP : NOTHING;
  return during(probed, { image, command, privileged: true, network: { name: 'none' }, publish: [] }, signal, async (id, found) => {
    const refused = await refusal(() => probed.containers.start(id, signal), signal);
    if (refused !== undefined) return whyRefused(probed, refused);
    if (!rootless || (await exitCode(found, probed.clock, signal)) === 0) return undefined;
    return { kind: 'unprivileged', message: 'has no control groups of its own to give to nodes: none are delegated to its user' };
  });
}

/** Of another host it may be that programs are not where most have them. */
function whyRefused({ exists }: Pick<ProbedEngine, 'exists'>, { message }: KvciError): NodeProblem {
  if (exists === undefined && !/permission denied|not permitted|privileged/i.test(message)) {
    return { kind: 'unclear', message: `cannot be asked whether it may start privileged containers (${message})` };
  }
  return { kind: 'unprivileged', message: `may not start privileged containers (${message})` };
}

/** An engine of this host cannot have a port that we hold; one that gets it has another loopback. */
async function loopbackProblem(probed: ProbedEngine, image: string, signal: AbortSignal): Promise<NodeProblem | undefined> {
  await using held = await holdPort();
  const publish = [{ inside: PORT_INSIDE, host: held.port }];
  const request = { image, command: NOTHING, privileged: false, network: { name: DEFAULT_NETWORK }, publish };
  return await during(probed, request, signal, async (id) => {
    const refused = await refusal(() => probed.containers.start(id, signal), signal);
    if (refused === undefined) {
      return {
        kind: 'elsewhere',
        message: 'publishes ports elsewhere than on the loopback of this host, as an engine of an outer host or in a virtual machine does',
      };
    }
    if (refused.code === 'port-taken') return undefined;
    return { kind: 'unclear', message: `cannot be asked where it publishes ports (${refused.message})` };
  });
}

/** Makes a container for as long as it is looked at. */
async function during<T>(
  probed: ProbedEngine,
  request: Pick<ContainerRequest, 'image' | 'command' | 'privileged' | 'network' | 'publish'>,
  signal: AbortSignal,
  look: (id: string, found: () => Promise<ContainerInfo | undefined>) => Promise<T>,
): Promise<T> {
  const { containers, owner } = probed;
  const name = `kvci-probe-${randomBytes(4).toString('hex')}`;
  const labels = { [RUN_LABEL]: PROBE_RUN, [OWNER_LABEL]: owner };
  const make = async (): Promise<T> => {
    const id = await containers.create(
      {
        ...request,
        name,
        hostname: name,
        labels,
        env: {},
        tmpfs: [],
        binds: boundFolders(probed).map((path) => ({ host: path, inside: path })),
        volumes: [],
      },
      signal,
    );
    return await look(id, async () => (await containers.list(labels)).find((container) => container.id === id));
  };
  return await thenRemove(make, () => containers.remove(name));
}

async function exitCode(found: () => Promise<ContainerInfo | undefined>, clock: Clock, signal: AbortSignal): Promise<number | undefined> {
  using limit = deadline(
    clock,
    ENDED_MS,
    signal,
    () => new KvciError('timedOut', 'probe-hangs', 'a container that ends at once still runs'),
  );
  for (;;) {
    const container = await found();
    if (container?.running !== true) return container?.exitCode;
    await clock.wait(POLL_MS, limit.signal).catch(() => undefined);
    throwIfCancelled(limit.signal);
  }
}

async function refusal(start: () => Promise<void>, signal: AbortSignal): Promise<KvciError | undefined> {
  try {
    await start();
    return undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError)) throw error;
    return error;
  }
}

/** What is seen of the engine's host. Docker makes folders that are bound and missing, so that of another host only what all have. */
function boundFolders({ exists }: Pick<ProbedEngine, 'exists'>): readonly string[] {
  return exists === undefined ? [USR] : USERLAND.filter(exists);
}

function rootEntries({ exists }: Pick<ProbedEngine, 'exists'>): readonly TarEntryWithContent[] {
  const entry = { mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 0, xattrs: {}, content: () => Readable.from([]) };
  // Most distributions have nothing else there.
  const links =
    exists === undefined ? ['lib', 'lib64'].map((path) => ({ ...entry, path, type: 'symlink', linkname: `usr/${path}` }) as const) : [];
  return [{ ...entry, path: 'usr', type: 'directory' }, ...links];
}
