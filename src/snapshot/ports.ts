import type { ClusterPorts } from '../cluster/ports.ts';
import type { Tar } from '../host/tar.ts';
import type { Ledger } from '../host/types.ts';
import type { SnapshotStore } from './store.ts';

/** What snapshots need of the world. */
export interface SnapshotPorts extends ClusterPorts {
  readonly snapshots: SnapshotStore;
  readonly ledger: Ledger;
  readonly tar: Tar;
}
