import { KvciError } from '../../core/errors.ts';
import { lastLines } from '../../host/command-error.ts';
import { type ConsoleCause, plain } from './console-cause.ts';

/** How many last lines of its console tell what a machine was about to do. */
const SHOWN_LINES = 15;

/** Why nobody can enter a machine. @param running whether it still does */
export function notReachable(name: string, console: string, cause: ConsoleCause, running: boolean): KvciError {
  const text = plain(console);
  const last = text.trim() === '' ? '' : `\n${lastLines(text, SHOWN_LINES)}`;
  const what = running ? 'cannot be reached by SSH' : 'has ended';
  return new KvciError(
    running && !cause.final ? 'timedOut' : 'failed',
    running ? 'machine-not-reachable' : 'machine-ended',
    `${name} ${what}: ${cause.message}. The last lines of its console:${last}`,
    { hint: cause.hint, facts: { machine: name, cause: cause.id } },
  );
}

/** It serves one at a time; whoever saves the machine has it for as long. */
export function silentMonitor(name: string): KvciError {
  const message = `QEMU of ${name} does not answer: it hangs, or another kvci saves the machine`;
  return new KvciError('timedOut', 'machine-not-reachable', message, { facts: { machine: name, cause: 'silent-monitor' } });
}
