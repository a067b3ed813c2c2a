import type { Work } from '../cluster/work.ts';
import type { SavedMachines } from '../machine/saved-machines.ts';
import { snapshotsOf } from './only-vms.ts';
import type { SnapshotPorts } from './ports.ts';

/**
 * A turn to go on until it is disposed. Clusters that somebody is at, as those that are just made or saved, do not stand back for it.
 *
 * @param saved undefined: of the cluster itself, which goes back
 */
export async function takeTurn(
  { cluster, machines }: Work,
  saved: SavedMachines | undefined,
  { locks, states }: Pick<SnapshotPorts, 'locks' | 'states'>,
): Promise<AsyncDisposable> {
  const mayStandBack = async (name: string): Promise<boolean> => {
    await using lock = await locks.tryExclusive(states.lock(name));
    return lock !== undefined;
  };
  return await snapshotsOf(cluster.state, machines).turn(saved, mayStandBack, cluster.context.signal);
}
