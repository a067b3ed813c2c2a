import { access, constants, mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { hasErrno } from '../core/errors.ts';

/** The child group in which all is that is no container: a group with controllers for its children may hold no process itself. */
export const ENGINE_GROUP = 'engine';

/** How long the kernel may take to let go of a group whose processes have been killed. */
const LET_GO_MS = 10_000;
const POLL_MS = 20;

/** How long a group may be without a process before nobody can want it. */
const UNUSED_MS = 120_000;

type Argv = readonly [string, ...string[]];

/** Runs a command as a member of a group, which becomes the root of the cgroup namespace that it makes. */
export function joinCgroupArgv(cgroup: string, argv: Argv): [string, ...string[]] {
  return ['sh', '-c', 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', 'sh', cgroup, ...argv];
}

/**
 * Enters a sandbox that has a group of its own. Whoever may not move there (a login session beside the user's own manager)
 * enters nevertheless: what it starts stays in the group of the session.
 */
export function enterCgroupArgv(cgroup: string, argv: Argv): [string, ...string[]] {
  return ['sh', '-c', '{ echo $$ >"$1/cgroup.procs"; } 2>/dev/null; shift && exec "$@"', 'sh', join(cgroup, ENGINE_GROUP), ...argv];
}

/** Where cgroup2 is mounted, by /proc/self/mountinfo (proc_pid_mountinfo(5)); undefined on a host that has only version 1. */
export function cgroup2Mount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [left, right] = line.split(' - ');
    if (right?.startsWith('cgroup2 ') === true) return left?.split(' ')[4];
  }
  return undefined;
}

/** The group of version 2 in /proc/self/cgroup (cgroups(7)). */
export function ownCgroup(text: string): string | undefined {
  return /^0::(\/.*)$/m.exec(text)?.[1];
}

/**
 * The uppermost group in which this process may make others and move itself to: the root for root, for ordinary users what was
 * delegated to them. Undefined where there is none.
 */
export async function delegatedCgroup(): Promise<string | undefined> {
  const mount = cgroup2Mount(await readFile('/proc/self/mountinfo', 'utf8'));
  const own = ownCgroup(await readFile('/proc/self/cgroup', 'utf8'));
  if (mount === undefined || own === undefined) return undefined;
  let found: string | undefined;
  for (let path = join(mount, own); path.length >= mount.length; path = dirname(path)) {
    if (!(await isWritable(path)) || !(await isWritable(join(path, 'cgroup.procs')))) break;
    found = path;
  }
  return found;
}

/**
 * Readies the group of a sandbox that has just started for containers: moves what is in it to a group of its own, and gives
 * those that are made beside it all controllers that there are.
 */
export async function furnishCgroup(path: string): Promise<void> {
  const engine = join(path, ENGINE_GROUP);
  await mkdir(engine);
  // A process that starts another one while it is moved leaves that one behind.
  for (;;) {
    const pids = wordsOf(await readFile(join(path, 'cgroup.procs'), 'utf8'));
    if (pids.length === 0) break;
    for (const pid of pids) await writeFile(join(engine, 'cgroup.procs'), pid).catch(unlessGone);
  }
  for (const controller of wordsOf(await readFile(join(path, 'cgroup.controllers'), 'utf8'))) {
    await writeFile(join(path, 'cgroup.subtree_control'), `+${controller}`);
  }
}

/**
 * Removes what is left of groups of a prefix whose record was lost. A new one is given time to come into use.
 *
 * @param now milliseconds since the epoch
 */
export async function sweepCgroups(base: string, prefix: string, now: number): Promise<void> {
  for (const name of (await foldersIn(base)).filter((name) => name.startsWith(prefix))) {
    const path = join(base, name);
    try {
      const unused = /^populated 0$/m.test(await readFile(join(path, 'cgroup.events'), 'utf8'));
      if (unused && (await stat(path)).mtimeMs < now - UNUSED_MS) await removeCgroup(path);
    } catch (error) {
      // Of another user, in use by now, or gone.
      if (!hasErrno(error, 'ENOENT', 'ENODEV', 'EACCES', 'EPERM', 'EBUSY')) throw error;
    }
  }
}

/** Removes a group whose processes have ended, with all below it. What is gone is gone. */
export async function removeCgroup(path: string): Promise<void> {
  for (const entry of await foldersIn(path)) await removeCgroup(join(path, entry));
  for (let waited = 0; ; waited += POLL_MS) {
    try {
      await rmdir(path);
      return;
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return;
      if (!hasErrno(error, 'EBUSY') || waited >= LET_GO_MS) throw error;
    }
    await sleep(POLL_MS);
  }
}

async function foldersIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function unlessGone(error: unknown): void {
  if (!hasErrno(error, 'ESRCH')) throw error;
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
}
