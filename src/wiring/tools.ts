import { join } from 'node:path';

import type { ServiceSettings } from '../cli/services.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { ContainerEngine, Downloads } from '../host/types.ts';
import type { ImagePorts } from '../image/ports.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { engineSurroundings, type Environment, hostArchitecture, type HostParts, hostSandboxes, once, OWN_FOLDER } from './host.ts';

export async function toolsImage(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  downloads: Downloads,
  mirrors: readonly string[] | undefined,
  run: RunContext,
): Promise<ImagePorts['tools'] & { readonly sandboxes: Sandboxes }> {
  const { toolsFromPackages } = await import('../sandbox/tools-from-packages.ts');
  const { packagesOf } = await import('../sandbox/tools-packages.ts');
  const { toolsContainerfile, toolsStep } = await import('../sandbox/tools-image.ts');
  const { runStep } = await import('../core/plan.ts');
  const { readNodeSources } = await import('../image/sources.ts');

  const { containerfiles } = await readNodeSources(OWN_FOLDER);
  const architecture = hostArchitecture();
  let pinned: DebianPackageSet | undefined;
  const use = once(() =>
    runStep(
      toolsStep({
        store: host.store,
        maker,
        containerfiles,
        architecture,
        note: run.events,
        ...(pinned === undefined ? {} : { locked: pinned }),
      }),
      run,
    ),
  );
  const sandboxes = await hostSandboxes(environment, host, async () => (await use()).tree);
  const maker = toolsFromPackages({
    directories: host.directories,
    ledger: host.ledger,
    store: host.store,
    sandboxes,
    downloads,
    architecture,
    ...(mirrors === undefined ? {} : { mirrors }),
    online: () => {
      if (settings.offline)
        throw new KvciError('hostNotReady', 'offline', 'the tools image cannot be made with --offline', {
          hint: 'Run the command once without --offline.',
        });
    },
  });
  return {
    sandboxes,
    wanted: packagesOf(toolsContainerfile(containerfiles, architecture)),
    architecture,
    pin: (set) => {
      pinned = set;
    },
    use,
  };
}

export async function openEngine(
  choice: EngineChoice,
  environment: Environment,
  host: HostParts,
  sandboxes: Sandboxes,
  run: RunContext,
): Promise<ContainerEngine> {
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { findEngine } = await import('../host/engine/find-engine.ts');
  const { hostCredentials } = await import('../host/engine/registry-credentials.ts');
  const { startPodman } = await import('../sandbox/podman.ts');
  const { readTemplates } = await import('../image/sources.ts');

  const connect = (endpoint: EngineEndpoint): Promise<ContainerEngine> =>
    connectEngine(endpoint, hostCredentials(environment, host.home, host.commands));
  const found = await findEngine(choice, engineSurroundings(environment, host), connect);
  if (found !== undefined) return found;
  const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
  const onWait = (): void => {
    run.events({ type: 'problem', level: 'note', message: "another kvci uses kvci's Podman: waiting until it has ended" });
  };
  return startPodman({ ...host, sandboxes, clock: run.clock, connect, templates, signal: run.signal, onWait });
}
