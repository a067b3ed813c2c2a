import { KvciError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import type { ClusterState, ClusterStates } from './state.ts';

/** @throws KvciError `cluster-not-found` */
export async function requireCluster(name: string, states: ClusterStates): Promise<ClusterState> {
  const state = await states.find(name);
  if (state !== undefined) return state;
  const names = await states.names();
  const suggestion = nearest(name, names);
  throw new KvciError('notFoundOrExists', 'cluster-not-found', `there is no cluster "${name}"`, {
    hint:
      suggestion !== undefined
        ? `Did you mean ${suggestion}?`
        : names.length === 0
          ? 'There is none at all; make one with "kvci up".'
          : `There ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}.`,
    facts: { cluster: name },
  });
}

/** The cluster that is named, else the only one. @throws KvciError `cluster-not-found`, `cluster-ambiguous` */
export async function chooseCluster(name: string | undefined, states: ClusterStates): Promise<ClusterState> {
  if (name !== undefined) return requireCluster(name, states);
  const [only, another, ...more] = await states.names();
  if (only !== undefined && another === undefined) return requireCluster(only, states);
  if (only === undefined || another === undefined) {
    throw new KvciError('notFoundOrExists', 'cluster-not-found', 'there is no cluster', { hint: 'Make one with "kvci up".' });
  }
  throw new KvciError('usage', 'cluster-ambiguous', `there are several clusters: ${[only, another, ...more].join(', ')}`, {
    hint: 'Say which one with --cluster NAME.',
  });
}
