import { parseClusterName } from '../cluster/options.ts';
import type { UpResult } from '../cluster/up.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { SnapshotPorts } from './ports.ts';
import { PASSING_SNAPSHOT } from './reaper.ts';
import { removeSnapshot } from './remove.ts';
import { upFromSnapshot } from './restore.ts';
import { saveSnapshot } from './save.ts';
import { snapshotId } from './store.ts';

export interface ForkRequest {
  readonly count: number;
  readonly timeoutMs: number | undefined;
}

/**
 * Makes copies of a cluster that runs: `NAME-1`, `NAME-2`... All are of one instant. What they come from is removed when they run.
 *
 * @throws KvciError `cluster-exists` before anything is done, as saving and restoring
 */
export async function forkCluster(
  cluster: string,
  { count, timeoutMs }: ForkRequest,
  ports: SnapshotPorts,
  run: RunContext,
): Promise<readonly UpResult[]> {
  const names = Array.from({ length: count }, (_, at) => parseClusterName(`${cluster}-${at + 1}`));
  const taken = (await ports.states.names()).filter((name) => names.includes(name));
  if (taken.length > 0) {
    throw new KvciError('notFoundOrExists', 'cluster-exists', `there is a cluster "${taken.join('", "')}" already`, {
      hint: `Remove it with "kvci down ${taken[0] ?? ''}".`,
      facts: { clusters: taken },
    });
  }
  const snapshot = `fork-${snapshotId()}`;
  await using _entry = await ports.ledger.enter(PASSING_SNAPSHOT, { name: snapshot });
  await saveSnapshot(cluster, { name: snapshot, stop: false, passing: true }, ports, run);
  try {
    const results: UpResult[] = [];
    // One after the other: each is Ready sooner than if all began at once, and all take the same time.
    for (const name of names) {
      results.push(
        await upFromSnapshot({ name, snapshot, cold: false, freshIdentity: false, keepOnFailure: false, timeoutMs }, ports, run),
      );
    }
    return results;
  } finally {
    await removeSnapshot(snapshot, ports, run);
  }
}
