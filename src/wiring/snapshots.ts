import { join } from 'node:path';

import type { ServiceSettings, SnapshotService } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import { clusterPorts } from './clusters.ts';
import { type Environment, type HostParts, once, OWN_FOLDER } from './host.ts';
import { imageParts, imageService } from './images.ts';

export async function snapshotService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<SnapshotService> {
  const { createSnapshotService } = await import('../cli/snapshot-service.ts');
  const { upRequest } = await import('../cli/cluster-service.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const { VmSandboxRecords } = await import('../machine/qemu/vm-record.ts');
  const { SnapshotStore } = await import('../snapshot/store.ts');
  const images = once(() => imageParts(environment, settings, host, run));
  const image = once(async () => imageService(environment, settings, host, run, await images()));
  return createSnapshotService({
    ports: {
      ...(await clusterPorts(environment, settings, host, images, run)),
      snapshots: new SnapshotStore(host.directories),
      ledger: host.ledger,
      tar: tarStreamTar,
      clusters: async () =>
        (await new VmSandboxRecords(host.directories, 'cluster-machines').list()).map(({ name, binds }) => ({
          name,
          folders: binds.map((bind) => bind.host),
        })),
      templates: await readTemplates(join(OWN_FOLDER, 'templates')),
    },
    request: (wanted, flags) => upRequest(wanted, flags, image),
  });
}
