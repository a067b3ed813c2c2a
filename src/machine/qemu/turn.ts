import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { hasErrno, throwIfCancelled } from '../../core/errors.ts';
import { pidNamespace } from '../../host/processes.ts';
import { standBack } from './stand-back.ts';
import { type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';
import type { VmSandboxParts } from './vm-sandbox.ts';

/** How many processors a cluster keeps busy while it goes on. */
const PROCESSORS = 2;

/** How often a turn is looked for that somebody else has. */
const POLL_MS = 50;

/** What it needs of the world. */
type TurnParts = Pick<VmSandboxParts, 'directories' | 'locks' | 'clock' | 'events'>;

export function turnsOf(processors: number): number {
  return Math.max(1, Math.floor(processors / PROCESSORS));
}

/**
 * A turn to go on for the emulated machines of a cluster, until it is disposed. Emulated machines have all their code to translate when
 * they go on: seconds where they have the processors for themselves; where several do so at once, or beside clusters that have just done
 * so, none of them gets through. So they do it one after the other, and the emulated machines of other clusters stand back meanwhile.
 *
 * Those count that have the same state folder, and stand in sandboxes of namespaces.
 */
export async function takeTurn(parts: TurnParts, cluster: string, signal: AbortSignal): Promise<AsyncDisposable> {
  const records = new VmSandboxRecords(parts.directories, 'cluster-machines');
  const turns = Array.from({ length: turnsOf(availableParallelism()) }, (_, at) => join(records.folder, `turn-${at + 1}`));
  await using stack = new AsyncDisposableStack();
  const turn = await freeOf(turns, parts, cluster, signal);
  stack.use(turn.lock);
  await writeFile(holderOf(turn.path), cluster, { mode: 0o600 });
  const atIt = new Set(await Promise.all(turns.map((path) => holder(path, turn.path, parts))));
  const { records: all } = await records.listReadable();
  stack.use(await standBack(await machinesOf(all.filter(({ name }) => name !== cluster && !atIt.has(name)))));
  return stack.move();
}

/** The first that nobody has. */
async function freeOf(
  paths: readonly string[],
  { locks, clock, events }: TurnParts,
  cluster: string,
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly lock: AsyncDisposable }> {
  for (let tries = 0; ; tries += 1) {
    for (const path of paths) {
      throwIfCancelled(signal);
      const lock = await locks.tryExclusive(`${path}.lock`);
      if (lock !== undefined) return { path, lock };
    }
    if (tries === 0) events({ type: 'problem', level: 'note', message: `${cluster} waits until other emulated clusters have gone on` });
    await clock.wait(POLL_MS, signal).catch(() => undefined);
  }
}

const holderOf = (turn: string): string => `${turn}.cluster`;

/** Whose turn another one is; it is written down before any machine runs. */
async function holder(turn: string, own: string, { locks }: TurnParts): Promise<string | undefined> {
  if (turn === own) return undefined;
  await using free = await locks.tryExclusive(`${turn}.lock`);
  if (free !== undefined) return undefined;
  return await textOf(holderOf(turn));
}

/** Pids of the emulated machines, in this process's namespace. */
async function machinesOf(records: readonly VmSandboxRecord[]): Promise<readonly number[]> {
  const namespace = await pidNamespace();
  const found = records.map(async ({ sandbox, machines }) => {
    if (sandbox === undefined || sandbox.kind === 'container' || sandbox.namespace !== namespace) return [];
    if (!Object.values(machines).some(({ accelerator }) => accelerator === 'tcg')) return [];
    // They have left whoever started them, and are the first process's.
    const pids = ((await textOf(`/proc/${sandbox.pid}/task/${sandbox.pid}/children`)) ?? '').trim().split(' ');
    const names = await Promise.all(pids.map((pid) => textOf(`/proc/${pid}/comm`)));
    return pids.filter((_, at) => names[at]?.startsWith('qemu-system') === true).map(Number);
  });
  return (await Promise.all(found)).flat();
}

async function textOf(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  });
}
