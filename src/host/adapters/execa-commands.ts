import { execa } from 'execa';
import { Readable } from 'node:stream';

import type { Clock } from '../../core/clock.ts';
import { cancelled, KvciError } from '../../core/errors.ts';
import type { EventSink } from '../../core/events.ts';
import { shellLine } from '../../core/shell.ts';
import { CommandError } from '../command-error.ts';
import type { CommandOptions, CommandResult, CommandRunner } from '../types.ts';

/** How long a command has between SIGTERM and SIGKILL. */
const KILL_GRACE_MS = 10_000;

/** Output kept in memory for results and errors, in characters; what is larger goes through `stdout` or `onLine`. */
const KEPT_OUTPUT = 64 * 1024 * 1024;

/** Runs commands on the host itself, in the environment that kvci was started with. */
export function hostCommands(events: EventSink, clock: Clock): CommandRunner {
  return { where: 'host', run: (argv, options = {}) => runCommand(argv, options, events, clock) };
}

async function runCommand(
  argv: readonly [string, ...string[]],
  options: CommandOptions,
  events: EventSink,
  clock: Clock,
): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const [file, ...args] = argv;
  const started = clock.monotonic();
  const child = execa(file, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    ...(options.stdin === undefined
      ? { stdin: 'ignore' as const }
      : options.stdin instanceof Readable
        ? { stdin: 'pipe' as const }
        : { input: options.stdin }),
    buffer: { stdout: options.stdout === undefined, stderr: true },
    maxBuffer: KEPT_OUTPUT,
    killDescendants: true,
    forceKillAfterDelay: KILL_GRACE_MS,
    reject: false,
    stripFinalNewline: false,
  });
  if (options.stdin instanceof Readable) {
    const { stdin } = child;
    if (stdin === null) throw new KvciError('bug', 'no-stdin', `${file} has no standard input`);
    // A command that stops reading early fails or not by its own exit code, not by our broken pipe.
    stdin.on('error', () => undefined);
    options.stdin.pipe(stdin);
  }
  if (options.stdout !== undefined) child.stdout.pipe(options.stdout);
  const { onLine } = options;
  const lines =
    onLine === undefined
      ? []
      : (['stdout', 'stderr'] as const)
          .filter((stream) => stream === 'stderr' || options.stdout === undefined)
          .map((stream) =>
            forward(child.iterable({ from: stream }), (line) => {
              onLine(line, stream);
            }),
          );
  const [outcome] = await Promise.all([child, ...lines]);
  const ms = Math.round(clock.monotonic() - started);
  const exitCode = outcome.exitCode;
  events({ type: 'command', argv, where: 'host', ms, exitCode: exitCode ?? null });
  if (outcome.timedOut) {
    throw new KvciError(
      'timedOut',
      'timed-out',
      `command did not end within ${String(Math.round((options.timeoutMs ?? 0) / 1000))} s:\n  ${shellLine(argv)}`,
    );
  }
  if (outcome.isCanceled && options.signal !== undefined) throw cancelled(options.signal);
  if (outcome.code === 'ENOENT') {
    throw new KvciError('hostNotReady', 'command-missing', `${file} is not installed or not in PATH`, {
      hint: 'Run "kvci doctor" to see what this host lacks.',
      cause: outcome.cause,
    });
  }
  const result = { argv, exitCode: exitCode ?? 128, stdout: outcome.stdout ?? '', stderr: outcome.stderr ?? '', ms };
  if (exitCode === 0 || (exitCode !== undefined && options.accept?.includes(exitCode) === true)) return result;
  throw new CommandError(
    'host',
    exitCode === undefined ? { ...result, stderr: `${result.stderr}\n${outcome.shortMessage ?? ''}` } : result,
  );
}

async function forward(lines: AsyncIterable<string>, onLine: (line: string) => void): Promise<void> {
  try {
    for await (const line of lines) onLine(line);
  } catch {
    // The iterable rejects when the command fails; the awaited command tells the reason.
  }
}
