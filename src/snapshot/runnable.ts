import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { makeRunnable } from './kept.ts';
import type { SnapshotPorts } from './ports.ts';
import type { SnapshotRecord } from './record.ts';
import { verifySnapshot } from './verify.ts';

/**
 * Has the files that machines are started from, right as they were saved. Those that are gone or damaged are made anew of what is kept.
 *
 * @param outside where the files outside of the snapshot are here
 * @throws KvciError `snapshot-damaged` where that is damaged, too; `snapshot-needs-disk`, `disk-full`
 */
export async function requireRunnable(
  record: SnapshotRecord,
  outside: readonly string[],
  { snapshots, locks }: Pick<SnapshotPorts, 'snapshots' | 'locks'>,
  { signal, events }: Pick<RunContext, 'signal' | 'events'>,
): Promise<void> {
  const folder = snapshots.folder(record);
  // Two that start at once want them once.
  await using _lock = await locks.exclusive(`${snapshots.lock(record.name)}.files`, { signal });
  if (existsSync(folder)) {
    try {
      await verifySnapshot(folder, record, outside, signal);
      return;
    } catch (error) {
      if (!(error instanceof KvciError) || error.code !== 'snapshot-damaged') throw error;
      events({ type: 'problem', level: 'warning', message: `${error.message}; it is made anew of its kept chunks` });
    }
  }
  await mkdir(snapshots.files, { recursive: true, mode: 0o700 });
  await makeRunnable(snapshots.chunks, folder, record, signal);
  await verifySnapshot(folder, record, outside, signal);
}
