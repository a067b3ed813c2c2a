import type { Clock } from '../../core/clock.ts';
import { deadline } from '../../core/deadline.ts';
import { KvciError, throwIfCancelled } from '../../core/errors.ts';
import type { ClusterView, KubernetesApi, KubernetesObject, ObservedPod } from '../../host/kubernetes.ts';
import type { Machines } from '../../machine/types.ts';
import { DRAIN_DEADLINE_MS } from '../deadlines.ts';

/** For giving up: the API may be slow, and a node that takes no pods is worse than a wait. */
const UNDO_MS = 30_000;

/** How soon a pod whose disruption budget forbids its end is asked again. */
const AGAIN_MS = 1_000;

/** Owners whose pods belong to their node: they end with it, and would come back at once. */
const STAYS = ['DaemonSet', 'Node'];

/** The pods of a node that have to go before it does. */
export function movable({ pods }: Pick<ClusterView, 'pods'>, node: string): readonly ObservedPod[] {
  return pods.filter((pod) => pod.node === node && !pod.done && !STAYS.includes(pod.owner));
}

/**
 * Takes new pods off a node and lets those that run on it end in order, as `kubectl drain` does. A node that could not be drained
 * takes pods again.
 *
 * @throws KvciError `drain-timed-out` with the pods that are left
 */
export async function drainNode(
  node: string,
  cluster: string,
  api: Pick<KubernetesApi, 'merge' | 'view' | 'evict'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let left: readonly ObservedPod[] = [];
  using limit = deadline(clock, DRAIN_DEADLINE_MS, signal, () => notDrained(node, cluster, left));
  await api.merge(schedulable(node, false), signal);
  try {
    for (;;) {
      left = movable(await api.view(limit.signal), node);
      if (left.length === 0) return;
      await Promise.all(left.map((pod) => api.evict(pod, limit.signal)));
      await clock.wait(AGAIN_MS, limit.signal).catch(() => undefined);
      throwIfCancelled(limit.signal);
    }
  } catch (error) {
    await undo(node, api);
    throw error;
  }
}

/**
 * What is done to a node that was drained. Where that fails and the node still runs, it takes pods again: else it would stand idle,
 * and nobody would know why.
 *
 * @param work calls `noWayBack` once the node can only be removed
 */
export async function elseSchedulable(
  node: string,
  api: Pick<KubernetesApi, 'merge'>,
  machines: Pick<Machines, 'list'>,
  work: (noWayBack: () => void) => Promise<void>,
): Promise<void> {
  const way = { back: true };
  try {
    await work(() => {
      way.back = false;
    });
  } catch (error) {
    const there = way.back ? await machines.list().catch(() => undefined) : [];
    if (there?.some(({ name, state }) => name === node && state === 'running') !== false) await undo(node, api);
    throw error;
  }
}

/** What matters more is why it could not be drained or removed. */
async function undo(node: string, api: Pick<KubernetesApi, 'merge'>): Promise<void> {
  await api.merge(schedulable(node, true), AbortSignal.timeout(UNDO_MS)).catch(() => undefined);
}

function schedulable(name: string, yes: boolean): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { unschedulable: !yes } };
}

function notDrained(node: string, cluster: string, left: readonly ObservedPod[]): KvciError {
  return new KvciError(
    'timedOut',
    'drain-timed-out',
    [
      `these pods on ${node} did not end within ${DRAIN_DEADLINE_MS / 1000} s:`,
      ...left.map(({ namespace, name }) => `${namespace}/${name}`),
    ].join('\n  '),
    {
      hint: `A PodDisruptionBudget may forbid it. "kvci node remove ${node} --cluster ${cluster} --no-drain" removes the node with them.`,
      facts: { node, pods: left.map(({ namespace, name }) => `${namespace}/${name}`) },
    },
  );
}
