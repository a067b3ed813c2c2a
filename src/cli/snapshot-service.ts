import { parseClusterName, type ClusterOptions } from '../cluster/options.ts';
import { chooseCluster } from '../cluster/find-cluster.ts';
import type { UpRequest } from '../cluster/up.ts';
import { KvciError } from '../core/errors.ts';
import { diskUse } from '../host/files.ts';
import { exportSnapshot } from '../snapshot/export.ts';
import { forkCluster } from '../snapshot/fork.ts';
import { importSnapshot } from '../snapshot/import.ts';
import { upInstant } from '../snapshot/instant.ts';
import type { SnapshotPorts } from '../snapshot/ports.ts';
import { removeSnapshot } from '../snapshot/remove.ts';
import { resetCluster } from '../snapshot/reset.ts';
import { upFromSnapshot } from '../snapshot/restore.ts';
import { saveSnapshot } from '../snapshot/save.ts';
import type { SnapshotService, UpSettings, WantedCluster } from './services.ts';

export interface SnapshotServiceParts {
  readonly ports: SnapshotPorts;
  /** What `up` asks for, for a cluster that has to be made first. */
  readonly request: (wanted: WantedCluster, settings: UpSettings) => UpRequest;
}

/** The snapshot commands over the room that does the work. */
export function createSnapshotService({ ports, request }: SnapshotServiceParts): SnapshotService {
  const { snapshots, states } = ports;
  return {
    save: async (cluster, wanted, run) => saveSnapshot((await chooseCluster(cluster, states)).name, wanted, ports, run),
    list: async () =>
      Promise.all(
        (await snapshots.list()).map(async (one) =>
          'error' in one ? { name: one.name, problem: one.error.message } : { record: one, size: await diskUse(snapshots.folder(one)) },
        ),
      ),
    inspect: async (name) => {
      const record = await snapshots.require(name);
      return { record, size: await diskUse(snapshots.folder(record)) };
    },
    remove: async (names, run) => {
      for (const name of names) await snapshots.require(name).catch(unlessUnreadable);
      for (const name of names) await removeSnapshot(name, ports, run);
    },
    exportTo: (name, file, run) => exportSnapshot(name, file, ports, run),
    importFrom: (file, name, run) => importSnapshot(file, name, ports, run),
    up: (wanted, run) => upFromSnapshot(wanted, ports, run),
    instant: (wanted, settings, run) => upInstant(request(onlyVms(wanted), settings), ports, run),
    reset: async (cluster, settings, run) => resetCluster((await chooseCluster(cluster, states)).name, settings, ports, run),
    fork: async (cluster, wanted, run) => {
      const { name } = await chooseCluster(cluster, states);
      return forkCluster(parseClusterName(name), wanted, ports, run);
    },
  };
}

function unlessUnreadable(error: unknown): void {
  if (!(error instanceof KvciError) || !['snapshot-damaged', 'snapshot-of-another-version'].includes(error.code)) throw error;
}

/** Containers cannot be saved: `auto` stands for virtual machines here. @throws KvciError `bad-flag` */
function onlyVms(wanted: WantedCluster): WantedCluster {
  const { provider, controlPlaneProvider, overrides } = wanted.options;
  const kinds = [provider, controlPlaneProvider, ...Object.values(overrides).map((own) => own.provider)];
  if (kinds.includes('kind')) {
    throw new KvciError('usage', 'bad-flag', '--instant: takes virtual machines; containers cannot be saved as they run', {
      hint: 'Leave --provider out, or say --provider vm.',
      facts: { flag: '--instant' },
    });
  }
  const provided = { provider: 'vm' } satisfies Partial<ClusterOptions>;
  return { ...wanted, options: { ...wanted.options, ...provided }, asked: { ...wanted.asked, ...provided } };
}
