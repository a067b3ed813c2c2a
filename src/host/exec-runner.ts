import { once } from 'node:events';
import { Readable } from 'node:stream';

import type { Clock } from '../core/clock.ts';
import { cancelled, KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { shellLine } from '../core/shell.ts';
import { CommandError } from './command-error.ts';
import type { ExecRequest } from './engine/containers.ts';
import { OutputText } from './output-text.ts';
import type { CommandOptions, CommandRunner } from './types.ts';

export interface ExecRunnerParts {
  readonly clock: Clock;
  readonly events: EventSink;
}

/** Where something can be run by streams: a container by its engine, a virtual machine by SSH. */
export interface ExecTarget {
  /** As errors and events call it. */
  readonly where: string;
  /** What a command sees beside what the place has by itself. */
  readonly environment: Readonly<Record<string, string>>;
  /** Runs one command and answers its exit code; a cancelled one has ended with all that it started. */
  readonly exec: (request: ExecRequest) => Promise<number>;
}

/** A command runner over streams. */
export function execRunner({ clock, events }: ExecRunnerParts, { where, environment, exec }: ExecTarget): CommandRunner {
  return {
    where,
    run: async (argv, options: CommandOptions = {}) => {
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
          env: definedOnly({ ...environment, ...env }),
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
          throw new KvciError('timedOut', 'timed-out', `command did not end within ${seconds} s on ${where}:\n  ${shellLine(argv)}`);
        }
        throw error;
      } finally {
        await Promise.all([out, err].map((stream) => (stream.end(), once(stream, 'finish'))));
        events({ type: 'command', argv, where, ms: Math.round(clock.monotonic() - started), exitCode });
      }
      const result = { argv, exitCode, stdout: out.text, stderr: err.text, ms: Math.round(clock.monotonic() - started) };
      if (exitCode !== 0 && accept?.includes(exitCode) !== true) throw new CommandError(where, result);
      return result;
    },
  };
}

function lineTo(onLine: CommandOptions['onLine'], stream: 'stdout' | 'stderr'): ((line: string) => void) | undefined {
  return onLine === undefined ? undefined : (line) => onLine(line, stream);
}

/** Variables that have a value: the others are not there. */
export function definedOnly(env: NonNullable<CommandOptions['env']>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}
