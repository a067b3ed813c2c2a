import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { diskUse, removeTree } from '../host/files.ts';
import type { CacheItem } from '../host/store/prune.ts';
import type { Locks } from '../host/types.ts';
import type { SnapshotStore } from './store.ts';

/**
 * Files that machines are started from, as the cache has them: they can be made again of what is kept.
 *
 * @param used folders that machines stand on
 */
export async function runnableItems(
  snapshots: SnapshotStore,
  locks: Locks,
  used: () => Promise<readonly string[]>,
): Promise<readonly CacheItem[]> {
  const all = (await snapshots.list()).flatMap((one) => ('error' in one ? [] : [one]));
  const there = all.filter((record) => existsSync(snapshots.folder(record)));
  return Promise.all(
    there.map(async (record) => {
      const folder = snapshots.folder(record);
      return {
        kind: 'snapshot',
        title: `files of the snapshot "${record.name}"`,
        size: await diskUse(folder),
        lastUsed: (await stat(join(folder, 'verified.json')).catch(() => stat(folder))).mtimeMs,
        madeAt: record.createdAt,
        remove: async () => {
          await using lock = await locks.tryExclusive(snapshots.lock(record.name));
          if (lock === undefined || (await used()).some((path) => `${path}/`.startsWith(`${folder}/`))) return false;
          await removeTree(folder);
          return true;
        },
      };
    }),
  );
}
