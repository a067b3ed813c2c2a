import { readFile } from 'node:fs/promises';

import type { Clock } from '../core/clock.ts';
import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { ContainerSandboxesParts } from '../sandbox/container-start.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { engineConnector } from './connect-engine.ts';
import { engineSurroundings, type Environment, type HostParts, hostNamespaces, hostUser, once, SANDBOX_INIT } from './host.ts';

/** What new sandboxes are made of. */
export interface SandboxMaking {
  /** The tools image, made first if it is not there. */
  readonly tools: (signal: AbortSignal) => Promise<{ readonly tree: string; readonly key: Digest }>;
  /** Socket of the engine for those that are to be containers. */
  readonly socket: () => Promise<string>;
  readonly clock: Clock;
  readonly events: EventSink;
}

/** Sandboxes over the tools image, of every kind. */
export async function hostSandboxes(environment: Environment, host: HostParts, making: SandboxMaking): Promise<Sandboxes> {
  const { sandboxesByKind } = await import('../sandbox/sandboxes-by-kind.ts');
  const namespaces = await hostNamespaces(environment, host, async (signal) => (await making.tools(signal)).tree);
  const container = once(async () => {
    const { containerSandboxes } = await import('../sandbox/container-sandboxes.ts');
    return containerSandboxes({
      ...host,
      ...making,
      environment,
      user: hostUser(host),
      init: once(() => readFile(SANDBOX_INIT, 'utf8')),
      connect: connectSandboxEngine,
    });
  });
  return sandboxesByKind(namespaces, container);
}

/** Those that run, for whoever starts none: clean-up. */
export async function startedSandboxes(environment: Environment, host: HostParts): Promise<Sandboxes> {
  const { systemClock } = await import('../host/clock.ts');
  const starting = (): Promise<never> =>
    Promise.reject(new KvciError('bug', 'no-tools', 'nothing that doctor and prune do needs the tools image'));
  return hostSandboxes(environment, host, { tools: starting, socket: starting, clock: systemClock, events: () => undefined });
}

/** Speaks to an engine that sandboxes are in. */
export const connectSandboxEngine: ContainerSandboxesParts['connect'] = async (socket, sandbox) => {
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const endpoint: EngineEndpoint = { address: { transport: 'unix', path: socket }, origin: `the engine of the sandbox "${sandbox}"` };
  const containers = await connectContainers(endpoint);
  return {
    containers,
    held: async () => {
      const { connectHeld } = await import('../host/adapters/dockerode-held.ts');
      return connectHeld(endpoint, containers.info);
    },
    images: async () => {
      const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
      const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
      return connectEngine(endpoint, NO_CREDENTIALS);
    },
  };
};

/**
 * The socket of the engine that sandboxes are to be containers of.
 *
 * @throws KvciError `no-engine`, `engine-elsewhere`, and what looking for one throws
 */
export async function engineForSandboxes(choice: EngineChoice, environment: Environment, host: HostParts): Promise<string> {
  const { findEngine } = await import('../host/engine/find-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const connect = engineConnector(environment, host, NO_CREDENTIALS);
  let found: EngineEndpoint | undefined;
  await using _engine = await findEngine(choice, engineSurroundings(environment, host), async (endpoint) => {
    const connected = await connect(endpoint);
    found = endpoint;
    return connected;
  });
  if (found === undefined) {
    throw new KvciError('hostNotReady', 'no-engine', '--sandbox container: no container engine runs on this host', {
      hint: 'Start Docker or the service of Podman, or use --sandbox namespaces, which needs none.',
      facts: { flag: '--sandbox' },
    });
  }
  if (found.address.transport === 'unix') return found.address.path;
  throw new KvciError(
    'usage',
    'engine-elsewhere',
    '--sandbox container: the engine is reached over a network, and does not see this host',
    {
      hint: 'Name one by its socket as "engine" in kvci.yaml, or use --sandbox namespaces.',
      facts: { flag: '--sandbox' },
    },
  );
}
