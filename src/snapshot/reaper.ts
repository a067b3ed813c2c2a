import { dirname } from 'node:path';

import type { Reaper } from '../host/ledger.ts';
import { removeTree } from '../host/files.ts';
import type { SnapshotStore } from './store.ts';

/** Ledger kind of the files of a snapshot that has no record yet. */
export const SNAPSHOT_FOLDER = 'snapshot';

/** Ledger kind of a snapshot that goes once the clusters that come from it run. */
export const PASSING_SNAPSHOT = 'passing-snapshot';

/** What `prune` removes of a save or a fork whose kvci was killed. The cluster went on by itself. */
export function snapshotReapers(snapshots: SnapshotStore): Reaper[] {
  return [
    {
      kind: SNAPSHOT_FOLDER,
      describe: (resource) => `half a snapshot "${String(resource['name'])}"`,
      reap: async ({ folder, name }) => {
        // It may have been killed right after it was whole.
        const record = await snapshots.find(String(name));
        if (record !== undefined && snapshots.folder(record) === folder) return;
        await removeTree(String(folder));
      },
    },
    {
      kind: PASSING_SNAPSHOT,
      describe: ({ name }) => `snapshot "${String(name)}", which a fork came from`,
      reap: async ({ name }) => {
        const record = await snapshots.find(String(name));
        if (record !== undefined) await snapshots.remove(record.name, record.id);
      },
    },
  ];
}

/** Folders of disks that snapshots stand on. One that cannot be read stands on nothing any more. */
export async function foldersOfSnapshots(snapshots: SnapshotStore): Promise<readonly string[]> {
  return (await snapshots.list()).flatMap((one) => ('error' in one ? [] : one.outside.map(({ path }) => dirname(path))));
}
