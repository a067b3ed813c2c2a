import { KvciError, throwIfCancelled } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { ClusterPorts } from './ports.ts';
import type { ClusterState } from './state.ts';

const LOOK_MS = 3_000;

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

/** What is done through a cluster's API, meanwhile making what leads there again whenever it breaks. */
export async function keptLed<T>(
  { name, run: life, engine }: Pick<ClusterState, 'name' | 'run' | 'engine'>,
  ports: Pick<ClusterPorts, 'leadAgain'>,
  { clock }: Pick<RunContext, 'clock'>,
  work: () => Promise<T>,
): Promise<T> {
  if (engine?.transport !== 'ssh') return work();
  const done = new AbortController();
  const look = async (): Promise<void> => {
    while (!done.signal.aborted) {
      // What hinders it is told by whoever waits for the API, and by the next command: it is nothing that work on the cluster fails of.
      await ports.leadAgain({ cluster: name, run: life }, done.signal).catch(() => undefined);
      await clock.wait(LOOK_MS, done.signal).catch(() => undefined);
    }
  };
  const looking = look();
  try {
    return await work();
  } finally {
    done.abort();
    await looking;
  }
}
