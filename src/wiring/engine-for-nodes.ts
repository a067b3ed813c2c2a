import { existsSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import { type EngineAddress, type EngineEndpoint, otherHost } from '../host/engine/endpoint.ts';
import type { ContainerEngine } from '../host/types.ts';
import type { NodeProblem } from '../machine/container/node-probe.ts';
import { connectNodesEngine, engineConnector } from './connect-engine.ts';
import { engineSurroundings, type Environment, type HostParts } from './host.ts';

/** What an engine has to do for nodes. */
interface NodesWanted {
  /** They are to reach the registry of this host. */
  readonly registry?: boolean;
  /** It is to be of this host, by its socket. */
  readonly bySocket?: boolean;
}

/**
 * The engine that nodes are to be in; undefined for kvci's own. One that nobody named has to be able to have them, with the rights of its
 * host's root; one that is named is refused where it is known that it cannot.
 *
 * @throws KvciError `engine-elsewhere` for one whose ports this host does not reach, `engine-open` for one that anybody may use,
 *   `engine-unprivileged`, `not-reachable-from-nodes`
 */
export async function engineForNodes(
  choice: EngineChoice,
  wanted: NodesWanted,
  environment: Environment,
  host: HostParts,
  run: RunContext,
): Promise<EngineAddress | undefined> {
  const { findEngine } = await import('../host/engine/find-engine.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const connect = engineConnector(environment, host, NO_CREDENTIALS);
  let found: EngineEndpoint | undefined;
  await using engine = await findEngine(choice, engineSurroundings(environment, host), async (endpoint) => {
    const connected = await connect(endpoint);
    found = endpoint;
    return connected;
  });
  if (engine === undefined || found === undefined) return undefined;
  const { engineTitle } = await import('../host/engine/checks.ts');
  const info = await engine.info();
  const title = engineTitle(info);
  const { reasonAgainst } = await import('../machine/container/node-probe.ts');
  const named = choice.kind !== 'auto';
  const endpoint = { ...found, address: withAbsolutePaths(found.address) };
  const problem = await reasonAgainst(named, info, () => problemForNodes(engine, endpoint, wanted, host, run));
  if (named && problem !== undefined) throw refused(title, problem);
  if (!named) {
    const message =
      problem === undefined ? `nodes are containers of ${title}` : `nodes are containers of kvci's own engine: ${title} ${problem.message}`;
    run.events({ type: 'problem', level: 'note', message });
  }
  return problem === undefined ? endpoint.address : undefined;
}

/** The next command may be run in another folder. */
function withAbsolutePaths(address: EngineAddress): EngineAddress {
  if (address.transport !== 'tcp' || address.tls === undefined) return address;
  const { ca, keyPair } = address.tls;
  const pair = keyPair === undefined ? {} : { keyPair: { cert: resolve(keyPair.cert), key: resolve(keyPair.key) } };
  return { ...address, tls: { ca: resolve(ca), ...pair } };
}

async function problemForNodes(
  engine: ContainerEngine,
  endpoint: EngineEndpoint,
  { registry = false, bySocket = false }: NodesWanted,
  host: HostParts,
  { clock, signal }: RunContext,
): Promise<NodeProblem | undefined> {
  const { address } = endpoint;
  if (bySocket && address.transport !== 'unix') return { kind: 'elsewhere', message: 'is reached over a network' };
  if (registry) {
    return { kind: 'closed', message: "leads its containers to no port of this host's loopback, where the registry is" };
  }
  if (address.transport === 'tcp' && address.tls === undefined) {
    return { kind: 'open', message: 'is reached by TCP without TLS: whoever reaches it there could have the rights of root by its nodes' };
  }
  const isHere = otherHost(address) === undefined;
  const { HostEngines } = await import('../machine/container/host-engines.ts');
  const { nodeProblem } = await import('../machine/container/node-probe.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const engines = new HostEngines(host.directories, host.locks);
  return engines.suits(address, await identity(engine), async (owner) => {
    await using nodes = await connectNodesEngine(endpoint, host);
    const exists = isHere ? existsSync : undefined;
    return await nodeProblem({ ...nodes, tar: tarStreamTar, exists, owner, clock }, signal);
  });
}

/** What a verdict on an engine holds for: it, this boot of the host, and the network that we are in. */
async function identity(engine: ContainerEngine): Promise<string> {
  const { name, version, rootless } = await engine.info();
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return [name, version, rootless ? 'rootless' : 'rootful', boot, await readlink('/proc/self/ns/net')].join(' ');
}

function refused(title: string, { kind, message }: NodeProblem): KvciError {
  const problem = `nodes cannot be in ${title}: it ${message}`;
  switch (kind) {
    case 'elsewhere':
      return new KvciError('usage', 'engine-elsewhere', `--engine: ${problem}`, {
        hint: 'Name another one by its socket, or one of another host by ssh://USER@HOST, or none: kvci starts its own.',
        facts: { flag: '--engine' },
      });
    case 'open':
      return new KvciError('usage', 'engine-open', `--engine: ${problem}`, {
        hint: 'Reach it by ssh://USER@HOST, or by TLS with DOCKER_CERT_PATH.',
        facts: { flag: '--engine' },
      });
    case 'closed':
      return new KvciError('usage', 'not-reachable-from-nodes', `--registry: ${problem}`, {
        hint: `Have the nodes in kvci's own engine (--engine embedded), or put images into them with "kvci load".`,
        facts: { flag: '--registry' },
      });
    case 'unprivileged':
    case 'unclear':
      return new KvciError('hostNotReady', 'engine-unprivileged', problem, {
        hint: 'Name another one by its socket, or none: kvci starts its own.',
      });
  }
}
