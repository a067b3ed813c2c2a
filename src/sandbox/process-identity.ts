import { readFile, readlink } from 'node:fs/promises';

import { hasErrno } from '../core/errors.ts';
import type { SandboxRecord } from './types.ts';

type Identity = Pick<SandboxRecord, 'pid' | 'startTime' | 'userNamespace'>;

/** What tells a process from every other, also from a later one with the same pid. */
export async function readIdentity(pid: number): Promise<Identity> {
  const [stat, userNamespace] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readlink(`/proc/${pid}/ns/user`)]);
  return { pid, startTime: startTimeOf(stat), userNamespace };
}

/** True while the process of the record runs. */
export async function isSameProcess(identity: Identity): Promise<boolean> {
  try {
    const now = await readIdentity(identity.pid);
    return now.startTime === identity.startTime && now.userNamespace === identity.userNamespace;
  } catch (error) {
    // Another user's process by now, or none.
    if (hasErrno(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return false;
    throw error;
  }
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)). The second field, a name in parentheses, may hold blanks and parentheses itself. */
export function startTimeOf(stat: string): string {
  const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3];
  if (startTime === undefined) throw new RangeError(`not a process status: ${stat}`);
  return startTime;
}
