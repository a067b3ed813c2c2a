import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { RunContext } from '../core/plan.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { Containers } from '../host/engine/containers.ts';
import type { EngineInfo } from '../host/types.ts';
import type { NodeHost } from '../machine/container/node-host.ts';
import type { MachineProvider } from '../machine/types.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { NodeEngine } from '../sandbox/node-engine.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { hostArchitecture, type HostParts, once, OWN_FOLDER } from './host.ts';

export interface MachineParts {
  readonly host: HostParts;
  /** Over the tools image. */
  readonly sandboxes: Sandboxes;
  /** kvci's image store. */
  readonly layout: () => Promise<ImageLayout>;
  /** Socket of the engine of the host that nodes are in; kvci's own where it is undefined. */
  readonly engine: string | undefined;
}

/** Container nodes, in the engine that kvci starts for them or in one of the host. */
export async function containerMachineProvider(parts: MachineParts, run: RunContext): Promise<MachineProvider> {
  const { layout, engine: socket } = parts;
  const { containerProvider } = await import('../machine/container/container-provider.ts');
  const { ownNodeHost } = await import('../machine/container/own-node-host.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { clock, events } = run;
  return containerProvider({
    openHost: async () => {
      if (socket === undefined) return ownNodeHost({ engine: await openOwnEngine(parts, run), layout });
      return engineNodeHost(socket, parts);
    },
    clock,
    events,
    tar: tarStreamTar,
  });
}

/** kvci's own engine for nodes, started where it does not run. */
export async function openOwnEngine(
  { host, sandboxes }: Pick<MachineParts, 'host' | 'sandboxes'>,
  { clock, events, signal }: RunContext,
): Promise<NodeEngine> {
  const { openNodeEngine } = await import('../sandbox/node-engine.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
  return openNodeEngine({ ...host, sandboxes, clock, events, templates, connect: ownEngine(connectContainers) }, signal);
}

/** kvci's own engine need not be asked what it is. */
export function ownEngine(
  connect: (endpoint: EngineEndpoint, known: EngineInfo) => Promise<Containers>,
): (endpoint: EngineEndpoint) => Promise<Containers> {
  return (endpoint) =>
    connect(endpoint, {
      name: 'podman',
      version: 'of the tools image',
      rootless: false,
      origin: endpoint.origin,
      architecture: hostArchitecture(),
    });
}

async function engineNodeHost(socket: string, { host, layout, sandboxes }: MachineParts): Promise<NodeHost> {
  const { HostEngines } = await import('../machine/container/host-engines.ts');
  const { hostNodeHost } = await import('../machine/container/host-node-host.ts');
  const { BALANCER_PROGRAMS } = await import('../machine/container/host-forwards.ts');
  const { programRoot } = await import('../sandbox/program-root.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const endpoint: EngineEndpoint = { address: { transport: 'unix', path: socket }, origin: 'the engine of its nodes' };
  return hostNodeHost({
    engine: await connectEngine(endpoint, NO_CREDENTIALS),
    containers: await connectContainers(endpoint),
    layout,
    modules: existsSync('/lib/modules'),
    balancerRoot: (signal) => programRoot(sandboxes, BALANCER_PROGRAMS, signal),
    owner: once(() => new HostEngines(host.directories, host.locks).enter(socket)),
  });
}
