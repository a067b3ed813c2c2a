import type { Services, ServiceSettings } from './cli/services.ts';
import type { RunContext } from './core/plan.ts';
import { type Environment, hostParts, once } from './wiring/host.ts';

/** Environment and settings -> services. What a service needs is imported when it is first asked for. */
export function createServices(environment: Environment, settings: ServiceSettings, run: RunContext): Services {
  const host = once(() => hostParts(environment, run));
  return {
    image: once(async () => {
      const { imageService } = await import('./wiring/images.ts');
      return imageService(environment, settings, await host(), run);
    }),
    cluster: once(async () => {
      const { clusterService } = await import('./wiring/clusters.ts');
      return clusterService(environment, settings, await host(), run);
    }),
    snapshot: once(async () => {
      const { snapshotService } = await import('./wiring/snapshots.ts');
      return snapshotService(environment, settings, await host(), run);
    }),
    disk: once(async () => {
      const { diskService } = await import('./wiring/disk.ts');
      return diskService(environment, settings, await host(), run);
    }),
    verify: once(async () => {
      const { verifyService } = await import('./wiring/verify.ts');
      return verifyService(environment, settings, await host(), run);
    }),
    boot: once(async () => {
      const { bootService } = await import('./wiring/qemu.ts');
      return bootService(environment, settings, await host(), run);
    }),
    host: once(async () => {
      const { hostService } = await import('./wiring/host-service.ts');
      const { toolsWay } = await import('./wiring/tools-choice.ts');
      const parts = await host();
      const { verifyReapers } = await import('./wiring/verify.ts');
      return hostService(
        environment,
        parts,
        () => toolsWay(environment, settings, parts),
        () => verifyReapers(environment, settings, parts, run),
      );
    }),
  };
}
