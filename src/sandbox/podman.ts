import { mkdir } from 'node:fs/promises';

import type { Clock } from '../core/clock.ts';
import { cancelled, KvciError, messageOf } from '../core/errors.ts';
import type { TemplateSources } from '../core/template.ts';
import type { ConnectEngine } from '../host/engine/find-engine.ts';
import type { ContainerEngine, Directories, Locks } from '../host/types.ts';
import { engineFolder, engineLock } from './podman-storage.ts';
import { ENGINE_FOLDER, type LayerMode, podmanConfig } from './podman-config.ts';
import type { Sandbox, Sandboxes } from './types.ts';

export interface PodmanParts {
  readonly sandboxes: Sandboxes;
  readonly directories: Pick<Directories, 'cache'>;
  readonly locks: Locks;
  readonly clock: Clock;
  readonly connect: ConnectEngine;
  /** Of `templates/`. */
  readonly templates: TemplateSources;
  readonly signal: AbortSignal;
  /** Called once when another kvci has the engine's storage. */
  readonly onWait?: () => void;
}

/** Inside the sandbox, in memory. From the host it is seen through pid 1's root: short, and gone with the sandbox. */
const SOCKET = '/run/podman.sock';

/** A deadline for a hang: the service answers after a fraction of a second. */
const START_DEADLINE_MS = 60_000;
const POLL_MS = 25;

/** How many last lines of the service an error shows. */
const SHOWN_LINES = 15;

/**
 * Ends commands of builds that were left in the middle, with their control groups: as root these stand in the host's hierarchy,
 * where the end of the sandbox alone would leave them behind, empty. Those of other sandboxes list no process that is seen
 * from here, but zeros.
 */
const END_BUILDS = `
for group in /sys/fs/cgroup/buildah-*; do
  pids=$(grep '[1-9]' "$group/cgroup.procs" 2>/dev/null) || continue
  kill -9 $pids
  while [ -d "$group" ] && ! rmdir "$group" 2>/dev/null; do sleep 0.05; done
done
`;
const END_BUILDS_MS = 10_000;

/** Removes groups that killed sandboxes left: the kernel keeps those in use, and a new one is given time to come into use. */
const SWEEP_GROUPS = [
  'find',
  '/sys/fs/cgroup',
  '-maxdepth',
  '1',
  '-name',
  'buildah-*',
  '-mmin',
  '+1',
  '-exec',
  'rmdir',
  '{}',
  ';',
] as const;

/**
 * Starts Podman's API service from the tools image in a sandbox of its own and answers when it answers. Its storage lies in
 * kvci's cache, so that layers of earlier builds are reused; one process at a time has it. The service ends when the engine is
 * disposed, when a build is cancelled, and with kvci, however that ends.
 *
 * @throws KvciError `engine-not-started` with the last lines of the service, `cancelled`, and what a sandbox throws
 */
export async function startPodman(parts: PodmanParts): Promise<ContainerEngine> {
  const { signal, onWait } = parts;
  const folder = engineFolder(parts.directories);
  await using stack = new AsyncDisposableStack();
  stack.use(await parts.locks.exclusive(engineLock(parts.directories), { signal, ...(onWait === undefined ? {} : { onWait }) }));
  await mkdir(`${folder}/storage`, { recursive: true });
  await mkdir(`${folder}/scratch`, { recursive: true });
  const sandbox = stack.use(
    await parts.sandboxes.start({
      name: 'engine',
      binds: [{ host: `${folder}/storage`, inside: ENGINE_FOLDER, writable: true }],
      scratch: `${folder}/scratch`,
      network: 'host',
      cgroups: true,
      signal,
    }),
  );
  stack.defer(async () => {
    // A sandbox that has ended by itself has nothing left to end.
    await sandbox.run(['sh', '-c', END_BUILDS], { timeoutMs: END_BUILDS_MS }).catch(() => undefined);
  });
  await prepare(sandbox, parts.templates, signal);
  const engine = await serve(sandbox, parts);
  return held(engine, stack.move());
}

/** Writes the configuration and takes away what a killed predecessor left: its unpacked contexts and half-built containers. */
async function prepare(sandbox: Sandbox, templates: TemplateSources, signal: AbortSignal): Promise<void> {
  await sandbox.run(['find', '/var/tmp', '-mindepth', '1', '-delete'], { signal });
  await sandbox.run(SWEEP_GROUPS, { signal });
  for (const [path, text] of podmanConfig(templates, await layerMode(sandbox, signal))) {
    await sandbox.run(['tee', path], { stdin: text, signal });
  }
  const { stdout } = await sandbox.run(['podman', 'ps', '--all', '--external', '--quiet', '--no-trunc'], { signal });
  const left = stdout.split('\n').filter((id) => id !== '');
  if (left.length > 0) await sandbox.run(['podman', 'rm', '--force', ...left], { signal });
}

/** What the file system of the storage carries: asked by doing it. */
async function layerMode(sandbox: Sandbox, signal: AbortSignal): Promise<LayerMode> {
  const probe = `${ENGINE_FOLDER}/probe`;
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => `${probe}/${name}`) as [
    string,
    string,
    string,
    string,
  ];
  await sandbox.run(['mkdir', '-p', lower, upper, work, merged], { signal });
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const tried = async (...argv: [string, ...string[]]): Promise<boolean> => {
    // 127 is what nsenter(1) answers for a program that is not there; 1 and 32 are what the programs answer.
    const { exitCode } = await sandbox.run(argv, { signal, accept: [1, 2, 32, 127] });
    if (exitCode === 0) await sandbox.run(['umount', merged], { signal });
    return exitCode === 0;
  };
  try {
    if (await tried('mount', '-t', 'overlay', '-o', `${options},userxattr`, 'probe', merged)) return 'overlay';
    return (await tried('fuse-overlayfs', '-o', options, merged)) ? 'fuse' : 'copy';
  } finally {
    await sandbox.run(['rm', '-rf', probe], { signal });
  }
}

/** Starts the service and waits until it answers. */
async function serve(sandbox: Sandbox, { connect, clock, signal }: PodmanParts): Promise<ContainerEngine> {
  const lines: string[] = [];
  let ended: string | undefined;
  // Lives until the sandbox ends.
  sandbox
    .run(['podman', 'system', 'service', '--time=0', `unix://${SOCKET}`], {
      signal,
      onLine: (line) => {
        lines.push(line);
        lines.splice(0, lines.length - SHOWN_LINES);
      },
    })
    .then(
      () => 'it ended',
      (error: unknown) => messageOf(error),
    )
    .then((reason) => (ended = reason))
    .catch(() => undefined);
  const deadline = clock.monotonic() + START_DEADLINE_MS;
  const address = { transport: 'unix', path: `/proc/${sandbox.pid}/root${SOCKET}` } as const;
  for (;;) {
    try {
      return await connect({ address, origin: 'started by kvci' });
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      if (!(error instanceof KvciError) || error.code !== 'engine-unreachable') throw error;
      if (ended !== undefined || clock.monotonic() > deadline) throw notStarted(ended ?? messageOf(error), lines, error);
    }
    // An abort shows in the next round.
    await clock.wait(POLL_MS, signal).catch(() => undefined);
  }
}

function notStarted(reason: string, lines: readonly string[], cause: unknown): KvciError {
  return new KvciError(
    'failed',
    'engine-not-started',
    [`Podman did not start in its sandbox: ${reason}`, ...lines.map((line) => `  ${line}`)].join('\n'),
    {
      hint: 'Run "kvci doctor", or name an engine that runs with --engine.',
      cause,
    },
  );
}

/** The engine together with what keeps it alive. */
function held(engine: ContainerEngine, resources: AsyncDisposableStack): ContainerEngine {
  return {
    info: () => engine.info(),
    build: async (request) => {
      try {
        await engine.build(request);
      } catch (error) {
        // Buildah goes on with a RUN that has begun, whoever has left: it ends with the sandbox.
        if (request.signal.aborted) await resources.disposeAsync();
        throw error;
      }
    },
    importRoot: (tar, tag, signal) => engine.importRoot(tar, tag, signal),
    save: (tag, signal) => engine.save(tag, signal),
    load: (archive, signal) => engine.load(archive, signal),
    hasImage: (tag) => engine.hasImage(tag),
    pull: (ref, signal, onLine) => engine.pull(ref, signal, onLine),
    remove: (tag) => engine.remove(tag),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
