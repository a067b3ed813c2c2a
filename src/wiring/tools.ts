import { join } from 'node:path';

import type { ServiceSettings } from '../cli/services.ts';
import { KvciError } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import type { TemplateSources } from '../core/template.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { ContainerEngine, Downloads } from '../host/types.ts';
import type { ImagePorts } from '../image/ports.ts';
import type { LayoutTools } from '../oci/layout.ts';
import type { RegistryClient } from '../oci/registry.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import type { ToolsMaker } from '../sandbox/tools-image.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { engineConnector } from './connect-engine.ts';
import { engineSurroundings, type Environment, hostArchitecture, type HostParts, once, OWN_FOLDER } from './host.ts';
import { engineForSandboxes, hostSandboxes } from './sandboxes.ts';
import { hostEngine, toolsChoice, toolsWay } from './tools-choice.ts';

/** What making the tools image takes of the network. */
export interface ToolsNetwork {
  readonly downloads: Downloads;
  readonly mirrors: readonly string[] | undefined;
  readonly registry: () => Promise<RegistryClient>;
  readonly layoutTools: LayoutTools;
}

export async function toolsImage(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  network: ToolsNetwork,
  run: RunContext,
): Promise<ImagePorts['tools'] & { readonly sandboxes: Sandboxes }> {
  const { packagesOf } = await import('../sandbox/tools-packages.ts');
  const { toolsContainerfile } = await import('../sandbox/tools-containerfile.ts');
  const { readNodeSources } = await import('../image/sources.ts');
  const { parseEngineChoice } = await import('../host/engine/discovery.ts');

  const { containerfiles } = await readNodeSources(OWN_FOLDER);
  const architecture = hostArchitecture();
  const choice = await toolsChoice(environment, settings);
  const image = { ...network, ...host, containerfiles, architecture };
  let pinned: DebianPackageSet | undefined;
  const use = once(async () => {
    if (choice.kind === 'image') {
      const { publishedToolsStep } = await import('../sandbox/tools-published.ts');
      return runStep(publishedToolsStep({ ...image, ...choice }), run);
    }
    const { toolsStep } = await import('../sandbox/tools-image.ts');
    const locked = pinned === undefined ? {} : { locked: pinned };
    return runStep(toolsStep({ ...image, ...locked, maker, note: run.events }), run);
  });
  const socket = async (): Promise<string> =>
    engineForSandboxes(parseEngineChoice((await settings.config()).config.engine ?? 'auto'), environment, host);
  const sandboxes = await hostSandboxes(environment, host, { tools: use, socket, clock: run.clock, events: run.events });
  const chosen = once(() => chooseMaker(environment, settings, host, network, { containerfiles, architecture, sandboxes }, run));
  // Chosen when something has to be made: a tools image that is there asks for no engine.
  const maker: ToolsMaker = {
    resolve: async (...given) => (await chosen()).resolve(...given),
    make: async (...given) => (await chosen()).make(...given),
  };
  return {
    sandboxes,
    published: choice.kind === 'image' ? choice : undefined,
    wanted: packagesOf(toolsContainerfile(containerfiles, { architecture })),
    architecture,
    pin: (set) => {
      pinned = set;
    },
    use,
  };
}

async function chooseMaker(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  { downloads, mirrors, registry, layoutTools }: ToolsNetwork,
  image: { readonly containerfiles: TemplateSources; readonly architecture: string; readonly sandboxes: Sandboxes },
  run: RunContext,
): Promise<ToolsMaker> {
  const engine = once(() => hostEngine(environment, settings, host));
  const { way, line } = await toolsWay(environment, settings, host, engine);
  run.events({ type: 'problem', level: 'note', message: `tools image: ${line}` });
  const parts = {
    ...host,
    ...image,
    ...(mirrors === undefined ? {} : { mirrors }),
    downloads,
    online: () => {
      if (settings.offline)
        throw new KvciError('hostNotReady', 'offline', 'the tools image cannot be made with --offline', {
          hint: 'Run the command once without --offline.',
        });
    },
  };
  const found = way === 'engine' ? await engine() : undefined;
  if (found === undefined) {
    const { toolsFromPackages } = await import('../sandbox/tools-from-packages.ts');
    return toolsFromPackages(parts);
  }
  const { proxyBuildArgs } = await import('../host/engine/proxy.ts');
  const { toolsFromEngine } = await import('../sandbox/tools-from-engine.ts');
  return toolsFromEngine({ ...parts, engine: found, registry, layoutTools, buildArgs: proxyBuildArgs(environment) });
}

export async function openEngine(
  choice: EngineChoice,
  environment: Environment,
  host: HostParts,
  sandboxes: Sandboxes,
  run: RunContext,
): Promise<ContainerEngine> {
  const connect = engineConnector(environment, host);
  return (await runningEngine(choice, environment, host)) ?? startOwnPodman(host, sandboxes, run, connect);
}

/** An engine of this host; undefined where nobody named one and none runs. @throws as `findEngine` */
export async function runningEngine(choice: EngineChoice, environment: Environment, host: HostParts): Promise<ContainerEngine | undefined> {
  const { findEngine } = await import('../host/engine/find-engine.ts');
  return findEngine(choice, engineSurroundings(environment, host), engineConnector(environment, host));
}

/** Podman from the tools image, in a sandbox that ends with kvci. */
async function startOwnPodman(
  host: HostParts,
  sandboxes: Sandboxes,
  run: RunContext,
  connect: (endpoint: EngineEndpoint) => Promise<ContainerEngine>,
): Promise<ContainerEngine> {
  const { startPodman } = await import('../sandbox/podman.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
  const onWait = (): void => {
    run.events({ type: 'problem', level: 'note', message: "another kvci uses kvci's Podman: waiting until it has ended" });
  };
  return startPodman({ ...host, sandboxes, clock: run.clock, connect, templates, signal: run.signal, onWait });
}
