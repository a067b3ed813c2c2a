import type { Work } from '../cluster/work.ts';
import type { SavedMachines } from '../machine/saved-machines.ts';
import { snapshotsOf } from './only-vms.ts';
import type { SnapshotPorts } from './ports.ts';

/**
 * A turn to go on until it is disposed. Clusters that are not Ready, as those that are just made, do not stand back for it.
 *
 * @param saved undefined: of the cluster itself, which goes back
 */
export async function takeTurn(
  { cluster, machines }: Work,
  saved: SavedMachines | undefined,
  { states }: Pick<SnapshotPorts, 'states'>,
): Promise<AsyncDisposable> {
  // Whose state cannot be read is of no matter here.
  const mayStandBack = async (name: string): Promise<boolean> => (await states.find(name).catch(() => undefined))?.phase === 'ready';
  return await snapshotsOf(cluster.state, machines).turn(saved, mayStandBack, cluster.context.signal);
}
