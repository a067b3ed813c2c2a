import process from 'node:process';

import type { RegistryCredentials } from '../host/engine/credentials.ts';
import type { ConnectEngine } from '../host/engine/find-engine.ts';
import { type Environment, type HostParts } from './host.ts';

/** Speaks to engines, those of other hosts by ssh. @param credentials what engines get for registries; by default this host's */
export function engineConnector(environment: Environment, host: HostParts, credentials?: RegistryCredentials): ConnectEngine {
  return async (endpoint) => {
    const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
    const { hostCredentials } = await import('../host/engine/registry-credentials.ts');
    const login = credentials ?? hostCredentials(environment, host.home, host.commands);
    const { address, origin } = endpoint;
    if (address.transport !== 'ssh') return connectEngine(endpoint, login);
    const { openTunnel } = await import('../host/engine/tunnel.ts');
    const { heldEngine } = await import('../host/engine/held-engine.ts');
    const { systemClock } = await import('../host/clock.ts');
    await using stack = new AsyncDisposableStack();
    const tunnel = stack.use(await openTunnel(address, origin, { ...host, clock: systemClock, pid: process.pid }));
    const engine = await connectEngine({ address: { transport: 'unix', path: tunnel.path }, origin }, login);
    return heldEngine(engine, stack.move());
  };
}
