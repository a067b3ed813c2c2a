import type { ClusterPorts } from '../cluster/ports.ts';
import type { TemplateSources } from '../core/template.ts';
import type { Tar } from '../host/tar.ts';
import type { Ledger } from '../host/types.ts';
import type { SnapshotStore } from './store.ts';

export interface MachineFolders {
  /** Of a cluster. */
  readonly name: string;
  readonly folders: readonly string[];
}

/** What snapshots need of the world. */
export interface SnapshotPorts extends ClusterPorts {
  readonly snapshots: SnapshotStore;
  readonly ledger: Ledger;
  readonly tar: Tar;
  /** Clusters of virtual machines, each with the folders of this host that its machines are made of. */
  clusters(): Promise<readonly MachineFolders[]>;
  /** Of `templates/`. */
  readonly templates: TemplateSources;
}
