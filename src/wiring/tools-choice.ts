import type { ServiceSettings } from '../cli/services.ts';
import type { ContainerEngine } from '../host/types.ts';
import type { ToolsChoice, ToolsWay } from '../sandbox/tools-choice.ts';
import { engineConnector } from './connect-engine.ts';
import { engineSurroundings, type Environment, type HostParts } from './host.ts';

/** What KVCI_TOOLS asks for, else kvci.yaml. */
export async function toolsChoice(environment: Environment, settings: Pick<ServiceSettings, 'config'>): Promise<ToolsChoice> {
  const { parseToolsChoice } = await import('../sandbox/tools-choice.ts');
  const named = environment['KVCI_TOOLS'];
  if (named !== undefined && named !== '') return parseToolsChoice(named);
  return parseToolsChoice((await settings.config()).config.tools ?? 'auto');
}

/** The engine that runs on this host or that kvci.yaml names; never kvci's own, which stands on the tools image. */
export async function hostEngine(
  environment: Environment,
  settings: Pick<ServiceSettings, 'config'>,
  host: HostParts,
): Promise<ContainerEngine | undefined> {
  const { parseEngineChoice } = await import('../host/engine/discovery.ts');
  const { findEngine } = await import('../host/engine/find-engine.ts');
  const choice = parseEngineChoice((await settings.config()).config.engine ?? 'auto');
  return findEngine(choice, engineSurroundings(environment, host), engineConnector(environment, host));
}

/**
 * Which way the tools image would come on this host.
 *
 * @param engine the engine of the host, where somebody has looked for it already
 */
export async function toolsWay(
  environment: Environment,
  settings: Pick<ServiceSettings, 'config'>,
  host: HostParts,
  engine: () => Promise<ContainerEngine | undefined> = () => hostEngine(environment, settings, host),
): Promise<ToolsWay> {
  const { chooseToolsWay } = await import('../sandbox/tools-choice.ts');
  const { mmdebstrapVersion } = await import('../sandbox/checks.ts');
  const { engineTitle } = await import('../host/engine/checks.ts');
  return chooseToolsWay(await toolsChoice(environment, settings), {
    mmdebstrap: () => mmdebstrapVersion(host.commands),
    engine: async () => {
      const found = await engine();
      return found === undefined ? undefined : engineTitle(await found.info());
    },
  });
}
