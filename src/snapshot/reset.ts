import { requireCluster, refuseRemoving } from '../cluster/find-cluster.ts';
import { lockCluster } from '../cluster/lock-cluster.ts';
import { make, type UpResult } from '../cluster/up.ts';
import type { Work } from '../cluster/work.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { machineSpecs, requireVms, snapshotsOf } from './only-vms.ts';
import type { SnapshotPorts } from './ports.ts';
import { reachAgain } from './reach-again.ts';
import { takeTurn } from './turn.ts';

/**
 * Puts a cluster back to what it was last saved as, or came from: its nodes end and go on from there, in their place. Port and
 * kubeconfig stay. The snapshot itself may be gone: a cluster keeps what it needs of it.
 *
 * @throws KvciError `cluster-not-found`, `not-virtual-machines`, `never-saved`, `not-ready`
 */
export async function resetCluster(
  name: string,
  { timeoutMs }: { readonly timeoutMs: number | undefined },
  ports: SnapshotPorts,
  run: RunContext,
): Promise<UpResult> {
  await using _lock = await lockCluster(name, ports, run);
  const state = await requireCluster(name, ports.states);
  requireVms(state);
  refuseRemoving(state);
  if (state.snapshot === undefined) {
    throw new KvciError('notFoundOrExists', 'never-saved', `the cluster "${name}" has never been saved`, {
      hint: `Save it first: kvci snapshot save ${name}`,
      facts: { cluster: name },
    });
  }
  await using provider = await ports.provider(state.provider, state.engine, run);
  const bring = async (work: Work): Promise<void> => {
    const { cluster, machines } = work;
    await using _turn = await takeTurn(work, undefined, ports);
    const since = run.clock.now();
    // What it was is gone from here on: one that is killed now is not Ready.
    await cluster.update({ phase: 'stopped' });
    await cluster.step('reset', 'all nodes as they were', undefined, () =>
      snapshotsOf(state, machines).reset(machineSpecs(state), cluster.context.signal),
    );
    await reachAgain(work, undefined, since, ports, timeoutMs);
  };
  return await make(state, provider, { keepOnFailure: true, timeoutMs, command: 'reset', fresh: false, bring }, ports, run);
}
