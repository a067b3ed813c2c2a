import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import { cancelled, hasErrno, KvciError } from '../core/errors.ts';

/** How long pid 1 may take from its start to "ready" before it counts as hung: mounts only, no downloads. */
const START_DEADLINE_MS = 60_000;

/** Lines of the init's messages that an error shows. */
const SHOWN_LINES = 10;

/** The process that became a sandbox's pid 1, with the pipes that it is told and ended by. */
export interface Launched {
  readonly pid: number;
  /** Resolves when the process and everything in its pid namespace is gone. */
  readonly gone: Promise<void>;
  /** Ends it by closing its standard input. */
  close(): void;
  /** Lets it live on without us. */
  letGo(): void;
}

/**
 * Starts pid 1 of a sandbox, maps its ids by `mapIds` and waits until it is ready.
 *
 * node:child_process and not the command runner: this process has to be spoken to while it runs, and may have to outlive us.
 *
 * @throws KvciError `sandbox-failed` with what unshare or the init said, `cancelled`
 */
export async function launch(
  name: string,
  argv: readonly [string, ...string[]],
  mapIds: (pid: number) => Promise<void>,
  signal: AbortSignal,
): Promise<Launched> {
  throwIfCancelled(signal);
  const [file, ...args] = argv;
  // A session of its own: Ctrl-C in a terminal is ours to handle, in order.
  const child = spawn(file, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  const gone = ended(child);
  // A pid 1 that dies early tells so by its exit, not by our broken pipe.
  child.stdin.on('error', () => undefined);
  const giveUp = AbortSignal.any([signal, AbortSignal.timeout(START_DEADLINE_MS)]);
  const tooSlow = (): boolean => giveUp.aborted && !signal.aborted;
  let pid: number | undefined;
  const stop = (): void => {
    child.stdin.destroy();
    child.kill('SIGKILL');
    if (pid !== undefined) kill(pid);
  };
  giveUp.addEventListener('abort', stop);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [word, value] = line.split(' ');
      if (word === 'pid') {
        pid = Number(value);
        await mapIds(pid);
        child.stdin.write('mapped\n');
      } else if (word === 'ready' && pid !== undefined) {
        return {
          pid,
          gone,
          close: () => {
            child.stdin.destroy();
          },
          letGo: () => {
            letGo(child);
          },
        };
      }
    }
    await gone;
    throw failure(name, tooSlow() ? [...said, `not ready after ${START_DEADLINE_MS / 1000} s`] : said);
  } catch (error) {
    stop();
    await gone.catch(() => undefined);
    throwIfCancelled(signal);
    if (error instanceof KvciError) throw error;
    throw failure(name, said, error);
  } finally {
    giveUp.removeEventListener('abort', stop);
  }
}

function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal);
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => {
      resolve();
    });
  });
}

/** Ends a process; nothing happens when it is gone already. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!hasErrno(error, 'ESRCH')) throw error;
  }
}

function letGo(child: ChildProcess): void {
  child.stdin?.write('stay\n', () => {
    child.stdin?.destroy();
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.unref();
  });
}

function failure(name: string, said: readonly string[], cause?: unknown): KvciError {
  const text = said.slice(-SHOWN_LINES).join('\n  ');
  const denied = /unshare failed: (Operation not permitted|No space left on device|Invalid argument)/.test(text);
  const missing = hasErrno(cause, 'ENOENT');
  return new KvciError(
    denied || missing ? 'hostNotReady' : 'failed',
    denied ? 'no-user-namespaces' : missing ? 'command-missing' : 'sandbox-failed',
    `the sandbox "${name}" did not start${text === '' ? '' : `:\n  ${text}`}`,
    {
      ...(denied || missing ? { hint: 'Run "kvci doctor": it tells what this host lacks and the command that mends it.' } : {}),
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
