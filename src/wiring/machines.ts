import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { Containers } from '../host/engine/containers.ts';
import type { ContainerEngine, EngineInfo } from '../host/types.ts';
import type { NodeHost } from '../machine/container/node-host.ts';
import type { MachineProvider } from '../machine/types.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { engineSurroundings, type Environment, hostArchitecture, type HostParts, OWN_FOLDER } from './host.ts';

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
  const { host, sandboxes, layout, engine: socket } = parts;
  const { containerProvider } = await import('../machine/container/container-provider.ts');
  const { ownNodeHost } = await import('../machine/container/own-node-host.ts');
  const { openNodeEngine } = await import('../sandbox/node-engine.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const templates = await readTemplates(join(OWN_FOLDER, 'templates'));
  const { clock, events } = run;
  const engine = { ...host, sandboxes, clock, events, templates, connect: ownEngine(connectContainers) };
  return containerProvider({
    openHost: async () => {
      if (socket === undefined) return ownNodeHost({ engine: await openNodeEngine(engine, run.signal), layout });
      return engineNodeHost(socket, parts);
    },
    clock,
    events,
    tar: tarStreamTar,
  });
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

/**
 * The socket of the engine of this host that nodes are to be in; undefined for kvci's own. One that nobody named has to be able to
 * start them, with the rights of the host's root; one that is named is taken as it is.
 *
 * @throws KvciError `engine-elsewhere` for one of another host, whose loopback is not ours
 */
export async function engineForNodes(
  choice: EngineChoice,
  environment: Environment,
  host: HostParts,
  { events, signal }: RunContext,
): Promise<string | undefined> {
  const { findEngine } = await import('../host/engine/find-engine.ts');
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  let found: EngineEndpoint | undefined;
  await using engine = await findEngine(choice, engineSurroundings(environment, host), async (endpoint) => {
    const connected = await connectEngine(endpoint, NO_CREDENTIALS);
    found = endpoint;
    return connected;
  });
  if (engine === undefined || found === undefined) return undefined;
  if (choice.kind === 'auto') {
    const problem = await problemForNodes(engine, found, signal);
    const { engineTitle } = await import('../host/engine/checks.ts');
    const title = engineTitle(await engine.info());
    const message =
      problem === undefined ? `nodes are containers of ${title}` : `nodes are containers of kvci's own engine: ${title} ${problem}`;
    events({ type: 'problem', level: 'note', message });
    if (problem !== undefined) return undefined;
  }
  if (found.address.transport === 'unix') return found.address.path;
  throw new KvciError('usage', 'engine-elsewhere', '--engine: nodes cannot be in an engine that is reached over a network', {
    hint: 'Name one by its socket, or none: kvci starts its own.',
    facts: { flag: '--engine' },
  });
}

/** Why an engine that nobody named is passed over for nodes. */
async function problemForNodes(engine: ContainerEngine, endpoint: EngineEndpoint, signal: AbortSignal): Promise<string | undefined> {
  if (endpoint.address.transport !== 'unix') return 'is reached over a network';
  if ((await engine.info()).rootless) return 'runs without the rights of root';
  const { privilegeProblem } = await import('../machine/container/privilege.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const probed = { engine, containers: await connectContainers(endpoint), tar: tarStreamTar, exists: existsSync };
  const problem = await privilegeProblem(probed, signal);
  return problem === undefined ? undefined : `may not start privileged containers (${problem})`;
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
    owner: await new HostEngines(host.directories, host.locks).enter(socket),
  });
}
