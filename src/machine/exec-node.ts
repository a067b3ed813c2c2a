import { once } from 'node:events';
import { Readable } from 'node:stream';

import type { Clock } from '../core/clock.ts';
import { cancelled, KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { shellLine } from '../core/shell.ts';
import { CommandError } from '../host/command-error.ts';
import type { ExecRequest } from '../host/engine/containers.ts';
import { OutputText } from '../host/output-text.ts';
import type { Tar } from '../host/tar.ts';
import type { CommandOptions, CommandResult } from '../host/types.ts';
import { nodeFiles } from './node-files.ts';
import type { NodeAddresses, NodeHandle } from './types.ts';

export interface ExecNodeParts {
  readonly clock: Clock;
  readonly events: EventSink;
  readonly tar: Tar;
}

/** Where something can be run: a container by its engine, a virtual machine by SSH. */
export interface ExecPlace {
  readonly name: string;
  readonly addresses: NodeAddresses;
  /** Runs one command and answers its exit code; a cancelled one has ended with all that it started. */
  readonly exec: (request: ExecRequest) => Promise<number>;
}

/** What a command in a node sees beside what the node has by itself. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' };

/** A running node, of whatever kind. */
export function execNode(parts: ExecNodeParts, place: ExecPlace): NodeHandle {
  const { name, addresses } = place;
  const run = (argv: readonly [string, ...string[]], options: CommandOptions = {}): Promise<CommandResult> =>
    runInside(parts, place, argv, options);
  return {
    name,
    where: name,
    addresses,
    run,
    ...nodeFiles({ where: name, run }, parts.tar),
    attach: async (argv, { stdin, stdout, stderr, terminal, env, signal }) => {
      let stopFollowing: (() => void) | undefined;
      try {
        return await place.exec({
          argv,
          env: { ...ENVIRONMENT, ...env },
          stdout,
          stderr,
          ...(stdin === undefined ? {} : { stdin }),
          ...(terminal === undefined ? {} : { terminal }),
          ...(signal === undefined ? {} : { signal }),
          onStart: (resize) => {
            stopFollowing = terminal?.onResize((size) => void resize(size));
          },
        });
      } finally {
        stopFollowing?.();
      }
    },
  };
}

async function runInside(
  { clock, events }: ExecNodeParts,
  { name, exec }: ExecPlace,
  argv: readonly [string, ...string[]],
  options: CommandOptions,
): Promise<CommandResult> {
  const { cwd, env, stdin, timeoutMs, onLine, accept } = options;
  const started = clock.monotonic();
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signals = [options.signal, timeout].filter((signal) => signal !== undefined);
  const out = new OutputText({ keep: options.stdout === undefined, onLine: lineTo(onLine, 'stdout') });
  const err = new OutputText({ keep: true, onLine: lineTo(onLine, 'stderr') });
  let exitCode: number | null = null;
  try {
    exitCode = await exec({
      argv,
      env: { ...ENVIRONMENT, ...definedOnly(env) },
      ...(cwd === undefined ? {} : { cwd }),
      ...(stdin === undefined ? {} : { stdin: stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]) }),
      stdout: options.stdout ?? out,
      stderr: err,
      ...(signals.length === 0 ? {} : { signal: AbortSignal.any(signals) }),
    });
  } catch (error) {
    if (options.signal?.aborted === true) throw cancelled(options.signal);
    if (timeout?.aborted === true) {
      const seconds = (timeoutMs ?? 0) / 1000;
      throw new KvciError('timedOut', 'timed-out', `command did not end within ${seconds} s on ${name}:\n  ${shellLine(argv)}`);
    }
    throw error;
  } finally {
    await Promise.all([out, err].map((stream) => (stream.end(), once(stream, 'finish'))));
    events({ type: 'command', argv, where: name, ms: Math.round(clock.monotonic() - started), exitCode });
  }
  const result = { argv, exitCode, stdout: out.text, stderr: err.text, ms: Math.round(clock.monotonic() - started) };
  if (exitCode !== 0 && accept?.includes(exitCode) !== true) throw new CommandError(name, result);
  return result;
}

function lineTo(onLine: CommandOptions['onLine'], stream: 'stdout' | 'stderr'): ((line: string) => void) | undefined {
  return onLine === undefined ? undefined : (line) => onLine(line, stream);
}

function definedOnly(env: CommandOptions['env'] = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}
