import type { ServiceSettings, VerifyService } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import type { Reaper } from '../host/ledger.ts';
import type { MachineProvider } from '../machine/types.ts';
import { type Environment, type HostParts, once } from './host.ts';
import { imageParts, imageService } from './images.ts';

export async function verifyService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<VerifyService> {
  const { createVerifyService } = await import('../cli/verify-service.ts');
  const parts = await imageParts(environment, settings, host, run);
  return createVerifyService({
    layout: () => parts.layout(),
    hostArchitecture: parts.hostArchitecture,
    ledger: host.ledger,
    engine: async () => {
      const { namedEngine } = await import('./machines.ts');
      return namedEngine(environment, settings, host);
    },
    containers: (engine) => containers(engine, environment, settings, host, run),
    image: once(() => imageService(environment, settings, host, run, parts)),
    disk: async () => {
      const { diskService } = await import('./disk.ts');
      return diskService(environment, settings, host, run);
    },
    vms: async () => {
      const { vmParts } = await import('./vms.ts');
      return vmParts(host, parts, run);
    },
    versions: { kvci: parts.kvci.version, node: process.versions.node },
  });
}

/** What `prune` removes of verifications whose kvci was killed. */
export async function verifyReapers(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<readonly Reaper[]> {
  const { verifyReaper } = await import('../verify/container-bench.ts');
  return [verifyReaper((engine) => containers(engine, environment, settings, host, run))];
}

async function containers(
  engine: string | undefined,
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<MachineProvider> {
  const { containerMachineProvider } = await import('./machines.ts');
  const parts = once(() => imageParts(environment, settings, host, run));
  const { sandboxes } = await parts();
  return containerMachineProvider({ host, sandboxes, layout: async () => (await parts()).layout(), engine }, run);
}
