import type { Clock } from '../core/clock.ts';
import { cancelled, KvciError, messageOf } from '../core/errors.ts';
import type { TemplateSources } from '../core/template.ts';
import type { CommandRunner } from '../host/types.ts';
import { ENGINE_FOLDER, type LayerMode, podmanConfig } from './podman-config.ts';

/** Inside the sandbox, in memory. From the host it is seen through pid 1's root: short, and gone with the sandbox. */
export const SOCKET = '/run/podman.sock';

/** A deadline for a hang: the service answers after a fraction of a second. */
const START_DEADLINE_MS = 60_000;
const POLL_MS = 25;

/** How many last lines of the service an error shows. */
export const SHOWN_LINES = 15;

/** The command that serves Podman's API until it is ended. */
export const SERVICE = ['podman', 'system', 'service', '--time=0', `unix://${SOCKET}`] as const;

/** Writes Podman's configuration into a sandbox whose `ENGINE_FOLDER` is the storage. */
export async function configurePodman(sandbox: CommandRunner, templates: TemplateSources, signal: AbortSignal): Promise<void> {
  for (const [path, text] of podmanConfig(templates, await layerMode(sandbox, signal))) {
    await sandbox.run(['tee', path], { stdin: text, signal });
  }
}

/** What the file system of the storage carries: asked by doing it. */
async function layerMode(sandbox: CommandRunner, signal: AbortSignal): Promise<LayerMode> {
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

export interface WaitParts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Why the service has ended; undefined while it runs. */
  readonly ended: () => Promise<string | undefined>;
  /** The last lines it wrote. */
  readonly lines: () => Promise<readonly string[]>;
}

/**
 * Connects to the service as soon as it answers.
 *
 * @throws KvciError `engine-not-started` with the last lines of the service, `cancelled`
 */
export async function untilAnswers<T>(connect: () => Promise<T>, { clock, signal, ended, lines }: WaitParts): Promise<T> {
  const deadline = clock.monotonic() + START_DEADLINE_MS;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      if (!(error instanceof KvciError) || error.code !== 'engine-unreachable') throw error;
      const reason = (await ended()) ?? (clock.monotonic() > deadline ? messageOf(error) : undefined);
      if (reason !== undefined) throw notStarted(reason, await lines(), error);
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
