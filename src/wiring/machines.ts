import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { ServiceSettings } from '../cli/services.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { NodeHost } from '../machine/container/node-host.ts';
import type { MachineProvider } from '../machine/types.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { engineSurroundings, type Environment, type HostParts, OWN_FOLDER } from './host.ts';

export interface MachineParts {
  readonly host: HostParts;
  /** Over the tools image. */
  readonly sandboxes: Sandboxes;
  /** kvci's image store. */
  readonly layout: () => Promise<ImageLayout>;
  /** Socket of the engine of the host that nodes are in; kvci's own where it is undefined. */
  readonly engine: string | undefined;
}

/** Container nodes, in the engine that kvci starts for them. */
export async function containerMachineProvider(
  { host, sandboxes, layout, engine: socket }: MachineParts,
  run: RunContext,
): Promise<MachineProvider> {
  const { containerProvider } = await import('../machine/container/container-provider.ts');
  const { ownNodeHost } = await import('../machine/container/own-node-host.ts');
  const { openNodeEngine } = await import('../sandbox/node-engine.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
  const { clock, events } = run;
  const engine = { ...host, sandboxes, clock, events, templates, connect: connectContainers };
  return containerProvider({
    openHost: async () => {
      if (socket === undefined) return ownNodeHost({ engine: await openNodeEngine(engine, run.signal), layout });
      return namedNodeHost({ address: { transport: 'unix', path: socket }, origin: 'kvci.yaml' }, layout);
    },
    clock,
    events,
    tar: tarStreamTar,
  });
}

/**
 * The socket of the engine that kvci.yaml names; undefined where it names none: kvci's own then.
 *
 * @throws KvciError `engine-elsewhere` for one of another host, whose loopback is not ours
 */
export async function namedEngine(
  environment: Environment,
  settings: Pick<ServiceSettings, 'config'>,
  host: HostParts,
): Promise<string | undefined> {
  const { parseEngineChoice } = await import('../host/engine/discovery.ts');
  const { findEngine } = await import('../host/engine/find-engine.ts');
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const choice = parseEngineChoice((await settings.config()).config.engine ?? 'auto');
  if (choice.kind === 'auto' || choice.kind === 'embedded') return undefined;
  let found: EngineEndpoint | undefined;
  await using _engine = await findEngine(choice, engineSurroundings(environment, host), async (endpoint) => {
    const engine = await connectEngine(endpoint, NO_CREDENTIALS);
    found = endpoint;
    return engine;
  });
  if (found === undefined) return undefined;
  if (found.address.transport === 'unix') return found.address.path;
  throw new KvciError('usage', 'engine-elsewhere', 'engine: nodes cannot be in an engine that is reached over a network', {
    hint: 'Name one by its socket, or none: kvci starts its own.',
    facts: { key: 'engine' },
  });
}

async function namedNodeHost(endpoint: EngineEndpoint, layout: MachineParts['layout']): Promise<NodeHost> {
  const { hostNodeHost } = await import('../machine/container/host-node-host.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  return hostNodeHost({
    engine: await connectEngine(endpoint, NO_CREDENTIALS),
    containers: await connectContainers(endpoint),
    layout,
    modules: endpoint.address.transport === 'unix' && existsSync('/lib/modules'),
  });
}

/** What `prune` ends: an engine whose last node is gone, and what is left of one that was killed. */
export async function unusedNodeEngine(host: HostParts, sandboxes: Sandboxes): Promise<readonly string[]> {
  const { systemClock } = await import('../host/clock.ts');
  const { endUnusedNodeEngine } = await import('../sandbox/node-engine.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  return (await endUnusedNodeEngine({ ...host, sandboxes, clock: systemClock, connect: connectContainers }))
    ? ["kvci's engine for nodes that are containers"]
    : [];
}
