import type { ServiceSettings, SnapshotService } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import { clusterPorts } from './clusters.ts';
import { type Environment, type HostParts, once } from './host.ts';
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
  const { SnapshotStore } = await import('../snapshot/store.ts');
  const images = once(() => imageParts(environment, settings, host, run));
  const image = once(async () => imageService(environment, settings, host, run, await images()));
  return createSnapshotService({
    ports: {
      ...(await clusterPorts(environment, settings, host, images, run)),
      snapshots: new SnapshotStore(host.directories),
      ledger: host.ledger,
      tar: tarStreamTar,
    },
    request: (wanted, flags) => upRequest(wanted, flags, image),
  });
}
