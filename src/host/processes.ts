import { readFile, readlink } from 'node:fs/promises';

import { hasErrno } from '../core/errors.ts';

/** A process for certain: a pid alone may be another process by now. */
export interface ProcessIdentity {
  readonly pid: number;
  /** `<boot id>/<start time in clock ticks since boot>`: ticks alone repeat after a reboot. */
  readonly startTime: string;
}

/** The process of a pid, if it runs; one that has ended and was not yet waited for does not. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [stat, boot] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readFile('/proc/sys/kernel/random/boot_id', 'utf8')]);
    const { state, startTime } = parseProcessStat(stat);
    return state === 'Z' || state === 'X' ? undefined : { pid, startTime: `${boot.trim()}/${startTime}` };
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

/** True while that very process runs. */
export async function isRunning(process: ProcessIdentity): Promise<boolean> {
  return (await identify(process.pid))?.startTime === process.startTime;
}

/** Which pid namespace this process counts in: pids mean nothing in another one. */
export async function pidNamespace(): Promise<string> {
  return readlink('/proc/self/ns/pid');
}

/** Fields 3 and 22 of `/proc/PID/stat` (proc_pid_stat(5)); field 2 is a name that may hold blanks and parentheses. */
export function parseProcessStat(text: string): { readonly state: string; readonly startTime: string } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTime: fields[19] ?? '' };
}
