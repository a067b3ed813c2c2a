import { KvciError } from '../../core/errors.ts';
import type { ContainerEngine } from '../types.ts';
import { type EngineChoice, engineCandidates, type EngineSurroundings } from './discovery.ts';
import { type EngineEndpoint, showAddress } from './endpoint.ts';

/** @throws KvciError `engine-unreachable` */
export type ConnectEngine = (endpoint: EngineEndpoint) => Promise<ContainerEngine>;

/**
 * The first engine that answers in the usual places; undefined when nobody named one and none runs, or when kvci is to start its
 * own.
 *
 * @throws KvciError `engine-unreachable` for a named engine that does not answer: never silently another one;
 *   `engine-missing` when none of the make that was asked for answers
 */
export async function findEngine(
  choice: EngineChoice,
  host: EngineSurroundings,
  connect: ConnectEngine,
): Promise<ContainerEngine | undefined> {
  const tried: string[] = [];
  for (const { address, origin, named } of engineCandidates(choice, host)) {
    const engine = await connect({ address, origin }).catch((error: unknown) => {
      if (named || !(error instanceof KvciError)) throw error;
      tried.push(error.message);
      return undefined;
    });
    if (engine === undefined) continue;
    const { name } = await engine.info();
    if (choice.kind !== 'make' || name === choice.make) return engine;
    tried.push(`${showAddress(address)} (${origin}) is ${name}`);
  }
  if (choice.kind !== 'make') return undefined;
  throw new KvciError(
    'hostNotReady',
    'engine-missing',
    [`no ${choice.make} engine answers`, ...tried.map((line) => `  ${line}`)].join('\n'),
    {
      hint: `Start ${choice.make}'s service, name its socket with --engine, or leave --engine out: kvci starts Podman itself where no engine runs.`,
      facts: { make: choice.make, tried },
    },
  );
}
