import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { z } from 'zod';

import { hasErrno, KvciError, throwIfCancelled } from '../core/errors.ts';
import { writeFileAtomic } from './files.ts';
import { identify, isRunning, pidNamespace } from './processes.ts';
import { notRemoved, type SweepResult } from './sweep.ts';
import type { Directories, Ledger, LedgerEntry } from './types.ts';

interface StoredEntry extends LedgerEntry {
  /** The pid namespace of the owner: whether it lives can be told only there. */
  readonly namespace: string;
}

const entrySchema: z.ZodType<StoredEntry> = z.object({
  id: z.string(),
  kind: z.string(),
  owner: z.object({ pid: z.int(), startTime: z.string() }),
  namespace: z.string(),
  resource: z.record(z.string(), z.union([z.string(), z.number()])),
});

/** One JSON file an entry in `<state>/ledger`. */
export function fileLedger(directories: Pick<Directories, 'state'>): Ledger {
  const folder = join(directories.state, 'ledger');
  const fileOf = (id: string): string => join(folder, `${id}.json`);
  const forget = (entry: LedgerEntry): Promise<void> => rm(fileOf(entry.id), { force: true });
  const all = async (): Promise<readonly (StoredEntry | KvciError)[]> =>
    (await Promise.all((await names(folder)).map((name) => readEntry(join(folder, name))))).filter((entry) => entry !== undefined);
  const read = async (): Promise<readonly StoredEntry[]> =>
    (await all()).filter((entry): entry is StoredEntry => !(entry instanceof KvciError));
  return {
    forget,
    entries: read,
    unreadable: async () => (await all()).filter((entry) => entry instanceof KvciError),
    enter: async (kind, resource) => {
      const owner = await identify(process.pid);
      if (owner === undefined) throw new KvciError('hostNotReady', 'no-proc', 'cannot read /proc, which tells processes apart');
      const entry: LedgerEntry = { id: randomUUID(), kind, owner, resource };
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFileAtomic(fileOf(entry.id), `${JSON.stringify({ ...entry, namespace: await pidNamespace() })}\n`, 0o600);
      return { entry, [Symbol.asyncDispose]: () => forget(entry) };
    },
    orphans: async () => {
      const here = await pidNamespace();
      const orphans: LedgerEntry[] = [];
      for (const entry of await read()) {
        if (entry.namespace !== here || (await isRunning(entry.owner))) continue;
        const { id, kind, owner, resource } = entry;
        orphans.push({ id, kind, owner, resource });
      }
      return orphans;
    },
  };
}

/** Removes what a dead process left of one kind of resource; must succeed when it is gone already. */
export interface Reaper {
  readonly kind: string;
  /** What `prune` says it removes: `container abc of a build`. */
  describe(resource: LedgerEntry['resource']): string;
  reap(resource: LedgerEntry['resource']): Promise<void>;
}

/**
 * Removes every orphan, the youngest kinds of resources in the order of `reapers`; goes on when one fails, or is of a kind that this
 * version does not know: its entry stays. A file that is no entry is told with what failed.
 *
 * @throws KvciError `cancelled`
 */
export async function reapOrphans(ledger: Ledger, reapers: readonly Reaper[], signal?: AbortSignal): Promise<SweepResult> {
  const removed: string[] = [];
  const failed = [...(await ledger.unreadable())];
  const rank = (entry: LedgerEntry): number => reapers.findIndex((reaper) => reaper.kind === entry.kind);
  for (const entry of (await ledger.orphans()).toSorted((a, b) => rank(a) - rank(b))) {
    throwIfCancelled(signal);
    const reaper = reapers[rank(entry)];
    if (reaper === undefined) {
      failed.push(new KvciError('failed', 'unknown-resource', `no way known to remove a "${entry.kind}"`, { facts: { entry } }));
      continue;
    }
    const title = reaper.describe(entry.resource);
    try {
      await reaper.reap(entry.resource);
      await ledger.forget(entry);
      removed.push(title);
    } catch (error) {
      failed.push(notRemoved(title, error, { entry }));
    }
  }
  return { removed, failed };
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted();
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Undefined when its owner has just removed it; the reason where it cannot be read. */
async function readEntry(path: string): Promise<StoredEntry | KvciError | undefined> {
  try {
    return entrySchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    return new KvciError('failed', 'bad-ledger-entry', `${path} is not an entry of kvci's ledger`, {
      hint: 'It was not written by this version of kvci. Remove the file once what it names is gone.',
      cause: error,
    });
  }
}
