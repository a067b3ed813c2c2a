import { spawn } from 'node:child_process';
import { once } from 'node:events';

import type { Clock } from '../core/clock.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { identify, isRunning, type ProcessIdentity } from './processes.ts';

/** Becomes the command once it is told to. Whoever dies before that has started nothing. */
const GATE = 'read -r word && [ "$word" = go ] && exec "$@" </dev/null >"$0" 2>&1';

/** What a process gets to end by itself, in milliseconds. */
const GRACE_MS = 5_000;
const POLL_MS = 25;

/**
 * Starts a command that lives on without kvci. It begins once `keep` has written down which process it is: a kvci that is killed
 * leaves none that nobody knows.
 *
 * node:child_process and not the command runner: what that starts ends with kvci.
 *
 * @param log file of what it prints
 */
export async function startOwned(
  argv: readonly [string, ...string[]],
  log: string,
  keep: (process: ProcessIdentity) => Promise<void>,
): Promise<ProcessIdentity> {
  // A session of its own: Ctrl-C in a terminal is not for it.
  const child = spawn('sh', ['-c', GATE, log, ...argv], { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  // One that ends early tells so by not running.
  child.stdin.on('error', () => undefined);
  await once(child, 'spawn');
  child.unref();
  try {
    const found = child.pid === undefined ? undefined : await identify(child.pid);
    if (found === undefined) throw new KvciError('failed', 'process-ended', `${argv[0]} ended before it began`);
    await keep(found);
    child.stdin.end('go\n');
    return found;
  } catch (error) {
    child.stdin.destroy();
    throw error;
  }
}

/** Ends that very process, in order, then by force; one that is gone is gone. Answers when it is. */
export async function endOwned(owned: ProcessIdentity, clock: Clock): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const until = clock.monotonic() + GRACE_MS;
    if (await isRunning(owned)) send(owned.pid, signal);
    while (clock.monotonic() < until) {
      if (!(await isRunning(owned))) return;
      await clock.wait(POLL_MS);
    }
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!hasErrno(error, 'ESRCH')) throw error;
  }
}
