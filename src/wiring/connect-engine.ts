import process from 'node:process';

import type { Containers } from '../host/engine/containers.ts';
import type { RegistryCredentials } from '../host/engine/credentials.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { ConnectEngine } from '../host/engine/find-engine.ts';
import type { ContainerEngine } from '../host/types.ts';
import type { Environment, HostParts } from './host.ts';

/** An endpoint as this host reaches it, for as long as that is held. */
interface ReachedEngine extends AsyncDisposable {
  readonly endpoint: EngineEndpoint;
}

/** Leads to an engine: to one that is reached by ssh by a socket of this host. */
async function reachEngine(endpoint: EngineEndpoint, host: HostParts): Promise<ReachedEngine> {
  const { address, origin } = endpoint;
  if (address.transport !== 'ssh') return { endpoint, [Symbol.asyncDispose]: () => Promise.resolve() };
  const { openTunnel } = await import('../host/engine/tunnel.ts');
  const { systemClock } = await import('../host/clock.ts');
  const tunnel = await openTunnel(address, origin, { ...host, clock: systemClock, pid: process.pid });
  return {
    endpoint: { address: { transport: 'unix', path: tunnel.path }, origin, leadsTo: address },
    [Symbol.asyncDispose]: () => tunnel[Symbol.asyncDispose](),
  };
}

/** Speaks to engines, those of other hosts by ssh. @param credentials what engines get for registries; by default this host's */
export function engineConnector(environment: Environment, host: HostParts, credentials?: RegistryCredentials): ConnectEngine {
  return async (endpoint) => {
    const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
    const { hostCredentials } = await import('../host/engine/registry-credentials.ts');
    const { heldEngine } = await import('../host/engine/held-engine.ts');
    const login = credentials ?? hostCredentials(environment, host.home, host.commands);
    await using stack = new AsyncDisposableStack();
    const reached = stack.use(await reachEngine(endpoint, host));
    const engine = await connectEngine(reached.endpoint, login);
    return heldEngine(engine, stack.move());
  };
}

/** An engine that nodes are in, or are to be in: both of its faces over one connection. */
export interface NodesEngine extends AsyncDisposable {
  /** Letting go of it lets go of both. */
  readonly engine: ContainerEngine;
  readonly containers: Containers;
}

/** @throws KvciError `engine-unreachable` */
export async function connectNodesEngine(endpoint: EngineEndpoint, host: HostParts): Promise<NodesEngine> {
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const { heldEngine } = await import('../host/engine/held-engine.ts');
  await using stack = new AsyncDisposableStack();
  const reached = stack.use(await reachEngine(endpoint, host));
  const plain = await connectEngine(reached.endpoint, NO_CREDENTIALS);
  const containers = await connectContainers(reached.endpoint, await plain.info());
  const engine = heldEngine(plain, stack.move());
  return { engine, containers, [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose]() };
}
