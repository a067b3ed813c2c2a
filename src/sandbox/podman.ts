import { mkdir } from 'node:fs/promises';

import type { Clock } from '../core/clock.ts';
import { messageOf } from '../core/errors.ts';
import type { TemplateSources } from '../core/template.ts';
import type { ConnectEngine } from '../host/engine/find-engine.ts';
import { heldEngine } from '../host/engine/held-engine.ts';
import type { ContainerEngine, Directories, Locks } from '../host/types.ts';
import { engineFolder, engineLock } from './podman-storage.ts';
import { ENGINE_FOLDER } from './podman-config.ts';
import { configurePodman, SERVICE, SHOWN_LINES, SOCKET, untilAnswers } from './podman-service.ts';
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
  await configurePodman(sandbox, templates, signal);
  const { stdout } = await sandbox.run(['podman', 'ps', '--all', '--external', '--quiet', '--no-trunc'], { signal });
  const left = stdout.split('\n').filter((id) => id !== '');
  if (left.length > 0) await sandbox.run(['podman', 'rm', '--force', ...left], { signal });
}

/** Starts the service and waits until it answers. */
async function serve(sandbox: Sandbox, { connect, clock, signal }: PodmanParts): Promise<ContainerEngine> {
  const lines: string[] = [];
  let ended: string | undefined;
  // Lives until the sandbox ends.
  sandbox
    .run(SERVICE, {
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
  const address = { transport: 'unix', path: sandbox.outside(SOCKET) } as const;
  return untilAnswers(() => connect({ address, origin: 'started by kvci' }), {
    clock,
    signal,
    ended: () => Promise.resolve(ended),
    lines: () => Promise.resolve(lines),
  });
}

/** The engine together with what keeps it alive. */
function held(engine: ContainerEngine, resources: AsyncDisposableStack): ContainerEngine {
  return heldEngine(engine, resources, async (request) => {
    try {
      await engine.build(request);
    } catch (error) {
      // Buildah goes on with a RUN that has begun, whoever has left: it ends with the sandbox.
      if (request.signal.aborted) await resources.disposeAsync();
      throw error;
    }
  });
}
