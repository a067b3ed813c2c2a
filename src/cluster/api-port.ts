import { KvciError } from '../core/errors.ts';
import { freePort } from '../host/free-port.ts';
import type { ClusterRun } from './cluster-run.ts';
import { portOf } from './endpoint.ts';
import type { ClusterStates } from './state.ts';

/** Ports that were free a moment ago: more failures have another reason. */
const ATTEMPTS = 5;

/** A port of this host for a cluster's API: neither taken nor that of another cluster, which may be stopped. */
export async function chooseApiPort(cluster: string, states: ClusterStates): Promise<number> {
  const others = (await states.names()).filter((name) => name !== cluster);
  const found = await Promise.all(
    others.map((name) =>
      states.find(name).catch((error: unknown) => {
        // Nobody knows which one it has.
        if (error instanceof KvciError) return undefined;
        throw error;
      }),
    ),
  );
  return freePort(new Set(found.flatMap((state) => (state === undefined ? [] : (portOf(state) ?? [])))));
}

/**
 * Does what takes the port of a cluster's API. Where somebody has got that port meanwhile, another one is chosen, unless the cluster
 * has had it already: whoever was told of it keeps it.
 *
 * @param undo takes away what was made for the port
 * @throws KvciError `port-taken`
 */
export async function atApiPort<T>(
  run: Pick<ClusterRun, 'state' | 'update'>,
  states: ClusterStates,
  work: () => Promise<T>,
  undo: () => Promise<void>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const isTaken = error instanceof KvciError && error.code === 'port-taken';
      if (!isTaken || run.state.api !== undefined || attempt === ATTEMPTS) throw error;
      await undo();
      await run.update({ apiPort: await chooseApiPort(run.state.name, states) });
    }
  }
}
