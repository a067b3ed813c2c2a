import { KvciError } from '../core/errors.ts';
import type { Ledger, Locks } from '../host/types.ts';
import type { Claim } from '../machine/container/lost-clusters.ts';
import type { ClusterStates } from './state.ts';

export interface ClaimParts {
  readonly states: ClusterStates;
  readonly locks: Locks;
  readonly ledger: Ledger;
}

/**
 * Takes the lock of a cluster for as long as something of it is removed: an `up` of that name waits. Undefined where somebody works
 * on it, where its state cannot be read, and for nodes that the ledger has or may have, which its reapers remove.
 */
export async function claimCluster(name: string, { states, locks, ledger }: ClaimParts): Promise<Claim | undefined> {
  if ((await ledger.entries()).some(({ resource }) => resource['cluster'] === name)) return undefined;
  await using held = new AsyncDisposableStack();
  const lock = await locks.tryExclusive(states.lock(name));
  if (lock === undefined) return undefined;
  held.use(lock);
  const run = await runOf(name, states);
  if (run === UNREADABLE || (run === undefined && (await ledger.unreadable()).length > 0)) return undefined;
  const kept = held.move();
  return { run, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

const UNREADABLE = Symbol('a state that cannot be read');

async function runOf(name: string, states: ClusterStates): Promise<string | undefined | typeof UNREADABLE> {
  try {
    return (await states.find(name))?.run;
  } catch (error) {
    if (error instanceof KvciError) return UNREADABLE;
    throw error;
  }
}
