import type { ServiceSettings, VerifyService } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import type { Reaper } from '../host/ledger.ts';
import type { MachineProvider } from '../machine/types.ts';
import { type Environment, type HostParts, once } from './host.ts';
import { imageParts, imageService, prepareForImage } from './images.ts';

export async function verifyService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<VerifyService> {
  const { createVerifyService } = await import('../cli/verify-service.ts');
  const parts = await imageParts(environment, settings, host, run);
  const service = createVerifyService({
    layout: () => parts.layout(),
    hostArchitecture: parts.hostArchitecture,
    ledger: host.ledger,
    engine: async () => {
      const { parseEngineChoice } = await import('../host/engine/discovery.ts');
      const { engineForNodes } = await import('./engine-for-nodes.ts');
      const choice = parseEngineChoice((await settings.config()).config.engine ?? 'auto');
      const address = await engineForNodes(choice, { bySocket: true }, environment, host, run);
      return address?.transport === 'unix' ? address.path : undefined;
    },
    containers: (engine) => containers(engine, environment, settings, host, run),
    image: once(() => imageService(environment, settings, host, run, parts)),
    disk: async () => {
      const { diskService } = await import('./disk.ts');
      return diskService(environment, settings, host, run);
    },
    vms: async () => {
      const { vmSandboxParts } = await import('./qemu.ts');
      return vmSandboxParts(host, parts.sandboxes, run);
    },
    versions: { kvci: parts.kvci.version, node: process.versions.node },
    tools: async () => parts.tools.use(),
  });
  if (!settings.setup) return service;
  return {
    verify: async (wanted, cwd, context) => {
      const { prepareForVms } = await import('./qemu.ts');
      if (wanted.as === 'machine') await prepareForVms(environment, settings, host, run);
      // What an image takes of the host, making it prepares by itself.
      else if (wanted.disk.image.kind === 'stored') await prepareForImage(undefined, environment, settings, host, run);
      return service.verify(wanted, cwd, context);
    },
  };
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
  const address = engine === undefined ? undefined : ({ transport: 'unix', path: engine } as const);
  return containerMachineProvider({ host, sandboxes, layout: async () => (await parts()).layout(), engine: address }, run);
}
