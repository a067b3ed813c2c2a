import { KvciError } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import { ask, distinct } from './ask.ts';
import type { TestNode } from './bench.ts';
import type { Expectations } from './expectations.ts';
import { ADDRESSES, hasAddresses } from './facts/network.ts';
import { SYSTEM } from './facts/units.ts';
import type { NetworkCase } from './network-cases.ts';
import type { Fact, Look, Question } from './types.ts';

/** How long addresses may take to come when commands can be run already: DHCP may be slow, and the machine emulated. */
const ADDRESS_DEADLINE_MS = 90_000;
const ADDRESS_POLL_MS = 1000;

/** One step of a verification as people see it. */
export function step<T>(id: string, title: string, run: RunContext, work: () => Promise<T>): Promise<T> {
  return runStep({ id, title, why: 'nothing of a verification is reused', find: () => Promise.resolve(undefined), make: work }, run);
}

/** What is asked at every boot, after its end. */
export function lookQuestions(facts: readonly Fact[], expected: Expectations): readonly Question[] {
  return distinct([SYSTEM, ...facts.filter(({ when }) => when !== 'once').flatMap((fact) => fact.asks(expected))]);
}

/** What changes a node: asked when everything else has been asked. */
export function trialQuestions(facts: readonly Fact[], expected: Expectations): readonly Question[] {
  const trials = facts.filter(({ when }) => when === 'once').flatMap((fact) => fact.asks(expected));
  const prepared = facts.flatMap((fact) => (fact.when === 'over-boots' && fact.prepare !== undefined ? [fact.prepare] : []));
  return distinct([...trials, ...prepared]);
}

/** What is told of a node to compare it with another: its identity, and how its boot ended. */
export function copyQuestions(facts: readonly Fact[], expected: Expectations): readonly Question[] {
  const told = facts.filter(({ when, id }) => when === 'over-boots' || id === BOOT_ENDS);
  return distinct([SYSTEM, ...told.flatMap((fact) => fact.asks(expected))]);
}

/** The fact that holds in every network. */
export const BOOT_ENDS = 'units-failed';

/** Asks a node, its addresses too where it is in a network of a known kind; waits for those that have to come. */
export async function look(
  node: TestNode,
  questions: readonly Question[],
  network: NetworkCase | undefined,
  { clock, signal }: RunContext,
): Promise<Look> {
  if (network === undefined) return ask(node.handle, questions, clock, signal);
  const first = await ask(node.handle, [...questions, ADDRESSES], clock, signal);
  const end = clock.monotonic() + ADDRESS_DEADLINE_MS;
  let seen = first;
  while (!hasAddresses(seen, network) && clock.monotonic() < end) {
    await clock.wait(ADDRESS_POLL_MS, signal);
    seen = await ask(node.handle, [ADDRESSES], clock, signal);
  }
  return { ...first, answers: new Map([...first.answers, ...seen.answers]) };
}

/** What a node is told by that came up badly or went away; everything else is no fault of the node. */
const TROUBLES: ReadonlySet<string> = new Set([
  'machine-not-reachable',
  'machine-ended',
  'ssh-lost',
  'ssh-unreachable',
  'ssh-refused',
  'host-key-differs',
  'container-stopped',
]);

/** What only a node that runs is told by: while one is started, it is commands of this host that fail so. */
const TROUBLES_OF_RUNNING: ReadonlySet<string> = new Set(['command-failed', 'timed-out', 'no-answer']);

/**
 * A failure of the node under test, which is a result.
 *
 * @param running it had come up before
 * @throws the error itself where it is none
 */
export function asTrouble(error: unknown, running: boolean, signal: AbortSignal): KvciError {
  const isTrouble = (code: string): boolean => TROUBLES.has(code) || (running && TROUBLES_OF_RUNNING.has(code));
  if (!signal.aborted && error instanceof KvciError && isTrouble(error.code)) return error;
  throw error;
}
