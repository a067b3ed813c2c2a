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
 * on it, where its state cannot be read, and for nodes that the ledger has, which its reapers remove.
 */
export async function claimCluster(name: string, { states, locks, ledger }: ClaimParts): Promise<Claim | undefined> {
  if ((await ledger.entries()).some(({ resource }) => resource['cluster'] === name)) return undefined;
  const lock = await locks.tryExclusive(states.lock(name));
  if (lock === undefined) return undefined;
  try {
    const run = (await states.find(name))?.run;
    return { run, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() };
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    if (error instanceof KvciError) return undefined;
    throw error;
  }
}
