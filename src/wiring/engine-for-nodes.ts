import { existsSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineEndpoint } from '../host/engine/endpoint.ts';
import type { ContainerEngine } from '../host/types.ts';
import type { NodeProblem } from '../machine/container/node-probe.ts';
import { engineConnector } from './connect-engine.ts';
import { engineSurroundings, type Environment, type HostParts } from './host.ts';

/**
 * The socket of the engine of this host that nodes are to be in; undefined for kvci's own. One that nobody named has to be able to
 * have them, with the rights of the host's root; one that is named is refused where it is known that it cannot.
 *
 * @throws KvciError `engine-elsewhere` for one of another host, whose loopback is not ours, `engine-unprivileged`
 */
export async function engineForNodes(
  choice: EngineChoice,
  environment: Environment,
  host: HostParts,
  run: RunContext,
): Promise<string | undefined> {
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
  const endpoint = found;
  const problem = await reasonAgainst(named, info, () => problemForNodes(engine, endpoint, host, run));
  if (named && problem !== undefined) throw refused(title, problem);
  if (!named) {
    const message =
      problem === undefined ? `nodes are containers of ${title}` : `nodes are containers of kvci's own engine: ${title} ${problem.message}`;
    run.events({ type: 'problem', level: 'note', message });
  }
  return problem === undefined && endpoint.address.transport === 'unix' ? endpoint.address.path : undefined;
}

async function problemForNodes(
  engine: ContainerEngine,
  endpoint: EngineEndpoint,
  { directories, locks }: HostParts,
  { clock, signal }: RunContext,
): Promise<NodeProblem | undefined> {
  if (endpoint.address.transport !== 'unix') return { kind: 'elsewhere', message: 'is reached over a network' };
  const { path } = endpoint.address;
  const { HostEngines } = await import('../machine/container/host-engines.ts');
  const { nodeProblem } = await import('../machine/container/node-probe.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const engines = new HostEngines(directories, locks);
  return engines.suits(path, await identity(engine), async (owner) => {
    const containers = await connectContainers(endpoint);
    return nodeProblem({ engine, containers, tar: tarStreamTar, exists: existsSync, owner, clock }, signal);
  });
}

/** What a verdict on an engine holds for: it, this boot of the host, and the network that we are in. */
async function identity(engine: ContainerEngine): Promise<string> {
  const { name, version, rootless } = await engine.info();
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return [name, version, rootless ? 'rootless' : 'rootful', boot, await readlink('/proc/self/ns/net')].join(' ');
}

function refused(title: string, { kind, message }: NodeProblem): KvciError {
  const hint = 'Name another one by its socket, or none: kvci starts its own.';
  return kind === 'elsewhere'
    ? new KvciError('usage', 'engine-elsewhere', `--engine: nodes cannot be in ${title}: it ${message}`, {
        hint,
        facts: { flag: '--engine' },
      })
    : new KvciError('hostNotReady', 'engine-unprivileged', `nodes cannot be in ${title}: it ${message}`, { hint });
}
