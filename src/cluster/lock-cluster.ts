import type { RunContext } from '../core/plan.ts';
import type { ClusterPorts } from './ports.ts';

/** Held by whoever changes a cluster; another waits and says so. */
export function lockCluster(
  name: string,
  { locks, states }: Pick<ClusterPorts, 'locks' | 'states'>,
  run: RunContext,
): Promise<AsyncDisposable> {
  return locks.exclusive(states.lock(name), {
    signal: run.signal,
    onWait: () => {
      run.events({ type: 'problem', level: 'note', message: `another kvci works on the cluster "${name}": waiting until it has ended` });
    },
  });
}
