import { KvciError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import type { ClusterState, ClusterStates, NodeState } from './state.ts';

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

/** A node of a cluster by its name. @throws KvciError `node-not-found` */
export function requireNode({ name: cluster, nodes }: Pick<ClusterState, 'name' | 'nodes'>, name: string): NodeState {
  const node = nodes.find((candidate) => candidate.name === name);
  if (node !== undefined) return node;
  throw new KvciError('notFoundOrExists', 'node-not-found', `the cluster "${cluster}" has no node "${name}"`, {
    hint: `It has ${nodes.map((each) => each.name).join(', ')}.`,
  });
}

/** @throws KvciError `cluster-removing` when its removal was begun */
export function refuseRemoving({ name, phase }: Pick<ClusterState, 'name' | 'phase'>): void {
  if (phase !== 'removing') return;
  throw new KvciError('notFoundOrExists', 'cluster-removing', `the cluster "${name}" was being removed`, {
    hint: `Finish that with "kvci down ${name}".`,
  });
}

/** For what needs a control plane that stands. @throws KvciError `cluster-removing`, `cluster-half-made`, `cluster-stopped` */
export function requireMade(state: Pick<ClusterState, 'name' | 'phase'>): void {
  refuseRemoving(state);
  const { name, phase } = state;
  if (phase === 'creating') {
    throw new KvciError('notFoundOrExists', 'cluster-half-made', `the cluster "${name}" is not up yet`, {
      hint: `"kvci up ${name}" goes on with it, "kvci down ${name}" removes it.`,
    });
  }
  if (phase === 'stopped') {
    throw new KvciError('notFoundOrExists', 'cluster-stopped', `the cluster "${name}" is stopped`, {
      hint: `Start it with "kvci start ${name}".`,
    });
  }
}
