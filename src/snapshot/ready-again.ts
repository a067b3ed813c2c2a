import type { ClusterRun } from '../cluster/cluster-run.ts';
import { missing, notReadyInTime } from '../cluster/steps/ready.ts';
import { readinessWatch } from '../cluster/steps/readiness.ts';
import { allOf } from '../core/all-of.ts';
import { deadline } from '../core/deadline.ts';
import { KvciError, throwIfCancelled } from '../core/errors.ts';
import type { ClusterView, KubernetesApi } from '../host/kubernetes.ts';
import type { Machines } from '../machine/types.ts';
import type { Guests } from './guests.ts';

/** Seconds on a quiet host; minutes where many go on side by side, and where leaders are elected anew. */
const READY_AGAIN_MS = 10 * 60_000;

/** How long leases may take until nodes are entered to have their clocks set: seconds, and longer where many go on side by side. */
const FOLLOWS_MS = 45_000;

/** How long the API may take to say what is missing. */
const ASK_MS = 20_000;

/** How far a clock may be off that a node has set by itself: by half a second first, then less. */
const BEHIND_MS = 1_500;

/**
 * Puts the nodes of a cluster right that goes on, and waits until it is Ready: clocks are set, every kubelet has renewed its lease
 * since, the API takes a change, nodes and system pods are Ready.
 *
 * @param went when they were let go on or before, in milliseconds since the epoch: no lease that was saved is as young
 * @throws KvciError `not-ready`
 */
export async function untilReadyAgain(
  cluster: ClusterRun,
  machines: Pick<Machines, 'node' | 'snapshots'>,
  guests: Guests,
  api: KubernetesApi,
  went: number,
  timeoutMs = READY_AGAIN_MS,
): Promise<void> {
  const { context, state } = cluster;
  const { clock, events } = context;
  const names = state.nodes.map(({ name }) => name);
  const started = clock.monotonic();
  const since = (): number => Math.round(clock.monotonic() - started);
  let last: ClusterView | undefined;
  let late: readonly string[] = [];
  using limit = deadline(
    clock,
    timeoutMs,
    context.signal,
    () => new KvciError('timedOut', 'not-ready', 'the cluster is not Ready in time'),
  );
  const { signal } = limit;
  // Nodes follow the clock of their machine, and renewed leases prove it; entering an emulated node takes seconds, which the others need.
  const follow = machines.snapshots?.renewsRandomNumbers === true;
  const proven = new AbortController();
  const within = follow ? AbortSignal.any([signal, proven.signal]) : signal;
  const wake = async (name: string): Promise<void> => {
    try {
      await guests.wake(await machines.node(name, within), { clock, signal: within });
    } catch (error) {
      throwIfCancelled(signal);
      // One that is too busy to be entered may still do so by itself.
      const isBusy = error instanceof KvciError && error.reason === 'timedOut';
      if (!follow || (!isBusy && !proven.signal.aborted)) throw error;
    }
  };
  const wakeAll = async (): Promise<void> => {
    if (follow) await clock.wait(FOLLOWS_MS, within).catch(() => undefined);
    throwIfCancelled(signal);
    if (proven.signal.aborted) return;
    await allOf(names.map((name) => cluster.step('wake', 'clock and random numbers', name, () => wake(name))));
  };
  const awake = wakeAll();
  awake.catch(() => undefined);
  const isRenewed = (time = 0): boolean => time >= went - BEHIND_MS && time <= clock.now() + BEHIND_MS;
  const watch = readinessWatch(clock, events);
  try {
    await Promise.all([
      awake,
      cluster.step('write', 'a change that the API takes', undefined, () => api.putConfigMap(MARK, markOf(state), signal)),
      cluster.step('leases', 'leases of all nodes', undefined, () =>
        api
          .untilNodeLeases((renewed) => {
            late = names.filter((name) => !isRenewed(renewed.get(name)));
            return late.length === 0;
          }, signal)
          .then(() => {
            proven.abort();
          }),
      ),
    ]);
    // Not before: each request costs those two time, where the API server is emulated and runs code for the first time.
    await cluster.step('ready', 'Ready', undefined, () =>
      api.until(
        (view) => missing(state, view).length === 0,
        signal,
        (view) => {
          last = view;
          watch(view);
        },
      ),
    );
  } catch (error) {
    if (error instanceof KvciError && error.reason === 'timedOut') {
      last ??= await api.view(AbortSignal.timeout(ASK_MS)).catch(() => undefined);
      const leases = late.map((name) => `node ${name}: its kubelet has not renewed its lease since`);
      throw await notReadyInTime(last, names, api, leases);
    }
    throw error;
  } finally {
    proven.abort();
    await awake.catch(() => undefined);
  }
  await cluster.update({ nodesReadyMs: undefined, readyMs: since(), phase: 'ready' });
}

/** Tells clusters of one snapshot apart from within. */
const MARK = { namespace: 'kube-system', name: 'kvci-snapshot' };

function markOf({ name, run, snapshot }: ClusterRun['state']): Readonly<Record<string, string>> {
  return { cluster: name, run, snapshot: snapshot?.name ?? '' };
}
