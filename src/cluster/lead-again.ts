import { KvciError, throwIfCancelled } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { ClusterPorts } from './ports.ts';
import type { ClusterState } from './state.ts';

/**
 * Makes again what leads from this host to a cluster's API, where that was a connection that broke: at the same port, so that every
 * kubeconfig works on. Where it cannot be made, that is told, and what follows is tried all the same.
 */
export async function leadAgain(
  { name, run: life, engine }: Pick<ClusterState, 'name' | 'run' | 'engine'>,
  ports: Pick<ClusterPorts, 'leadAgain'>,
  { signal, events }: Pick<RunContext, 'signal' | 'events'>,
): Promise<void> {
  if (engine?.transport !== 'ssh') return;
  try {
    await ports.leadAgain({ cluster: name, run: life }, signal);
  } catch (error) {
    throwIfCancelled(signal);
    if (!(error instanceof KvciError)) throw error;
    const { message, hint } = error;
    events({ type: 'problem', level: 'warning', message, ...(hint === undefined ? {} : { hint }) });
  }
}
