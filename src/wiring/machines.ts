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
import type { NodeEngine } from '../sandbox/node-engine.ts';
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
  const { layout, engine: socket } = parts;
  const { containerProvider } = await import('../machine/container/container-provider.ts');
  const { ownNodeHost } = await import('../machine/container/own-node-host.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { clock, events } = run;
  return containerProvider({
    openHost: async () => {
      if (socket === undefined) return ownNodeHost({ engine: await openOwnEngine(parts, run), layout });
      return engineNodeHost({ address: { transport: 'unix', path: socket }, origin: 'the engine of its nodes' }, parts);
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
function ownEngine(
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

async function engineNodeHost(endpoint: EngineEndpoint, { layout, sandboxes }: MachineParts): Promise<NodeHost> {
  const { hostNodeHost } = await import('../machine/container/host-node-host.ts');
  const { BALANCER_PROGRAMS } = await import('../machine/container/host-forwards.ts');
  const { programRoot } = await import('../sandbox/program-root.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { connectEngine } = await import('../host/adapters/dockerode-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  return hostNodeHost({
    engine: await connectEngine(endpoint, NO_CREDENTIALS),
    containers: await connectContainers(endpoint),
    layout,
    modules: endpoint.address.transport === 'unix' && existsSync('/lib/modules'),
    balancerRoot: (signal) => programRoot(sandboxes, BALANCER_PROGRAMS, signal),
  });
}

/**
 * What `prune` ends: nodes of clusters whose state is lost, an engine whose last node is gone, and what is left of one that was
 * killed. A cluster that somebody works on is theirs.
 */
export async function unusedNodeEngine(host: HostParts, sandboxes: Sandboxes): Promise<readonly string[]> {
  const { systemClock } = await import('../host/clock.ts');
  const { endUnusedNodeEngine, findNodeEngine } = await import('../sandbox/node-engine.ts');
  const { recordPath } = await import('../sandbox/node-engine-record.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { ClusterStates } = await import('../cluster/state.ts');
  const { removeLostClusters } = await import('../machine/container/lost-clusters.ts');
  const parts = { ...host, sandboxes, clock: systemClock, connect: ownEngine(connectContainers) };
  const states = new ClusterStates(host.directories);
  const isThere = (): boolean => existsSync(recordPath(host.directories));
  const before = isThere();
  const isKnown = async (cluster: string): Promise<boolean> => {
    const lock = await host.locks.tryExclusive(states.lock(cluster));
    await lock?.[Symbol.asyncDispose]();
    return lock === undefined || (await states.names()).includes(cluster);
  };
  const removeLost = async (): Promise<readonly string[]> => {
    await using engine = await findNodeEngine(parts, host.signal);
    return engine === undefined ? [] : await removeLostClusters(engine, isKnown);
  };
  const lost = await removeLost();
  await endUnusedNodeEngine(parts);
  return [
    ...lost.map((cluster) => `nodes of the cluster "${cluster}", whose state is lost`),
    ...(before && !isThere() ? ["kvci's engine for nodes that are containers"] : []),
  ];
}
