import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { hasErrno, throwIfCancelled } from '../../core/errors.ts';
import { isRunning, pidNamespace } from '../../host/processes.ts';
import { standBack } from './stand-back.ts';
import { type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';
import type { VmSandboxParts } from './vm-sandbox.ts';

/** How many processors a cluster keeps busy while it goes on. */
const PROCESSORS = 2;

/** How often a turn is looked for that somebody else has. */
const POLL_MS = 200;

/** What it needs of the world. */
type TurnParts = Pick<VmSandboxParts, 'directories' | 'locks' | 'clock' | 'events'>;

export function turnsOf(processors: number): number {
  return Math.max(1, Math.floor(processors / PROCESSORS));
}

/**
 * A turn to go on for the emulated machines of a cluster, until it is disposed. Emulated machines have all their code to translate when
 * they go on: seconds where they have the processors for themselves; where several do so at once, or beside clusters that have just done
 * so, none of them gets through. So they do it in turn, and the emulated machines of other clusters stand back meanwhile.
 *
 * Those count that have the same state folder, and stand in sandboxes of namespaces.
 *
 * @param mayStandBack whether those of a cluster may
 */
export async function takeTurn(
  parts: TurnParts,
  cluster: string,
  mayStandBack: (cluster: string) => Promise<boolean>,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const records = new VmSandboxRecords(parts.directories, 'cluster-machines');
  await using stack = new AsyncDisposableStack();
  stack.use(await freeTurn(records.folder, parts, cluster, signal));
  const { records: all } = await records.listReadable();
  const others = await Promise.all(
    all.filter(({ name }) => name !== cluster).map(async (one) => ((await mayStandBack(one.name)) ? machinesOf(one) : [])),
  );
  stack.use(await standBack(others.flat()));
  return stack.move();
}

/** The first that nobody has. */
async function freeTurn(
  folder: string,
  { locks, clock, events }: TurnParts,
  cluster: string,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const paths = Array.from({ length: turnsOf(availableParallelism()) }, (_, at) => join(folder, `turn-${at + 1}.lock`));
  for (let isFirst = true; ; isFirst = false) {
    for (const path of paths) {
      throwIfCancelled(signal);
      const lock = await locks.tryExclusive(path);
      if (lock !== undefined) return lock;
    }
    if (isFirst) events({ type: 'problem', level: 'note', message: `${cluster} waits until other emulated clusters have gone on` });
    await clock.wait(POLL_MS, signal).catch(() => undefined);
  }
}

/** Pids of the emulated machines that run in a sandbox. */
async function machinesOf({ sandbox, machines }: VmSandboxRecord): Promise<readonly number[]> {
  if (sandbox === undefined || sandbox.kind === 'container' || sandbox.namespace !== (await pidNamespace())) return [];
  if (!Object.values(machines).some(({ accelerator }) => accelerator === 'tcg') || !(await isRunning(sandbox))) return [];
  // They have left whoever started them, and are the first process's.
  const pids = (await textOf(`/proc/${sandbox.pid}/task/${sandbox.pid}/children`)).trim().split(' ');
  const names = await Promise.all(pids.map((pid) => textOf(`/proc/${pid}/comm`)));
  return pids.filter((_, at) => names[at]?.startsWith('qemu-system')).map(Number);
}

/** Of a process, which may have ended. */
async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return '';
    throw error;
  });
}
