import { execa, type Result } from 'execa';
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

import type { Clock } from '../../core/clock.ts';
import { cancelled, hasErrno, KvciError, throwIfCancelled } from '../../core/errors.ts';
import type { EventSink } from '../../core/events.ts';
import { shellLine } from '../../core/shell.ts';
import { CommandError } from '../command-error.ts';
import type { CommandOptions, CommandResult, CommandRunner } from '../types.ts';

export interface CommandSettings {
  /** How long a command has between SIGTERM and SIGKILL, in milliseconds. */
  readonly graceMs?: number;
  /** The most that a command may print into its result, in characters; what is larger needs the option `stdout`. */
  readonly maxOutput?: number;
}

type Argv = readonly [string, ...string[]];

/** Makes the kernel end a command when kvci is killed and can no longer do so itself (prctl(2), PR_SET_PDEATHSIG). */
const DIE_WITH_US = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;

/** Exit codes by which setpriv tells that it could not start the program. */
const SETPRIV_NOT_FOUND = 127;
const SETPRIV_NOT_EXECUTABLE = 126;

/** Runs commands on the host itself, in the environment that kvci was started with. */
export function hostCommands(events: EventSink, clock: Clock, settings: CommandSettings = {}): CommandRunner {
  let wrapper: readonly string[] = DIE_WITH_US;
  return {
    where: 'host',
    run: async (argv, options = {}) => {
      throwIfCancelled(options.signal);
      const started = clock.monotonic();
      let outcome = await execute([...wrapper, ...argv], options, settings);
      if (wrapper.length > 0 && isSpawnError(outcome, 'ENOENT') && (await isFolder(options.cwd))) {
        // A host whose util-linux has no setpriv: commands run, but those of a killed kvci end by themselves only.
        wrapper = [];
        outcome = await execute(argv, options, settings);
      }
      const ms = Math.round(clock.monotonic() - started);
      events({ type: 'command', argv, where: 'host', ms, exitCode: outcome.exitCode ?? null });
      return judge(argv, outcome, options, ms);
    },
  };
}

type Outcome = Result<{ reject: false }>;

async function execute(argv: readonly string[], options: CommandOptions, settings: CommandSettings): Promise<Outcome> {
  const [file = '', ...args] = argv;
  const child = execa(file, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    ...input(options.stdin),
    stdout: options.stdout === undefined ? 'pipe' : [options.stdout, 'pipe'],
    buffer: { stdout: options.stdout === undefined, stderr: true },
    maxBuffer: settings.maxOutput ?? 64 * 1024 * 1024,
    killDescendants: true,
    forceKillAfterDelay: settings.graceMs ?? 10_000,
    reject: false,
    stripFinalNewline: false,
  });
  const { onLine } = options;
  if (onLine !== undefined) {
    for (const stream of ['stdout', 'stderr'] as const) {
      const output = stream === 'stdout' && options.stdout !== undefined ? null : child[stream];
      if (output !== null) forwardLines(output, (line) => onLine(line, stream));
    }
  }
  return (await child) as Outcome;
}

function input(stdin: CommandOptions['stdin']): object {
  if (stdin === undefined) return { stdin: 'ignore' };
  return stdin instanceof Readable ? { stdin: [stdin, 'pipe'] } : { input: stdin };
}

/** Hands each line on as it comes, the last one also when no newline ends it. Execa's own lines cost ten times as much. */
function forwardLines(output: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder();
  let rest = '';
  output.on('data', (chunk: Buffer) => {
    const pieces = (rest + decoder.write(chunk)).split('\n');
    rest = pieces.pop() ?? '';
    for (const line of pieces) onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
  });
  output.on('end', () => {
    rest += decoder.end();
    if (rest !== '') onLine(rest);
  });
}

async function judge(argv: Argv, outcome: Outcome, options: CommandOptions, ms: number): Promise<CommandResult> {
  const [file] = argv;
  const exitCode = outcome.exitCode ?? (outcome.signal === undefined ? 1 : 128 + constants.signals[outcome.signal]);
  const result = { argv, exitCode, stdout: textOf(outcome.stdout), stderr: textOf(outcome.stderr), ms };
  if (outcome.timedOut) {
    throw new KvciError('timedOut', 'timed-out', `command did not end within ${(options.timeoutMs ?? 0) / 1000} s:\n  ${shellLine(argv)}`);
  }
  if (outcome.isCanceled && options.signal !== undefined) throw cancelled(options.signal);
  if (outcome.isMaxBuffer) {
    throw new KvciError('failed', 'output-too-large', `command printed more than kvci keeps in memory:\n  ${shellLine(argv)}`);
  }
  if (isSpawnError(outcome, 'ENOENT') && !(await isFolder(options.cwd))) {
    throw new KvciError('failed', 'no-such-folder', `cannot run ${file} in ${String(options.cwd)}: there is no such folder`);
  }
  const byWrapper = (code: number): boolean => exitCode === code && result.stderr.startsWith('setpriv: ');
  const denied = isSpawnError(outcome, 'EACCES') || byWrapper(SETPRIV_NOT_EXECUTABLE);
  if (denied && file.includes('/')) {
    throw new KvciError('hostNotReady', 'command-not-executable', `${file} cannot be executed`, { facts: { command: file } });
  }
  // A name is "denied" already when one folder of PATH is closed to this user and no other has it.
  if (denied || isSpawnError(outcome, 'ENOENT') || byWrapper(SETPRIV_NOT_FOUND)) {
    throw new KvciError('hostNotReady', 'command-missing', `${file} is not installed or not in PATH`, {
      hint: 'Run "kvci doctor" to see what this host lacks.',
      facts: { command: file },
    });
  }
  if (!outcome.failed) return result;
  // Our own streams that failed: the source of standard input, the sink of standard output.
  if (outcome.cause instanceof Error) throw outcome.cause;
  if (outcome.exitCode !== undefined && options.accept?.includes(outcome.exitCode) === true) return result;
  throw new CommandError('host', result);
}

function isSpawnError(outcome: Outcome, code: string): boolean {
  return outcome.failed && hasErrno(outcome.cause, code) && (outcome.cause.syscall ?? '').startsWith('spawn');
}

async function isFolder(path: string | undefined): Promise<boolean> {
  if (path === undefined) return true;
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function textOf(output: unknown): string {
  return typeof output === 'string' ? output : '';
}
