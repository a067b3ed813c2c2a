import type { Clock } from '../../core/clock.ts';
import type { EventSink } from '../../core/events.ts';
import type { ClusterView } from '../../host/kubernetes.ts';

/** Tells of each node and system pod how long it took from when it was first seen until it was Ready. */
export function readinessWatch(clock: Clock, events: EventSink): (view: ClusterView) => void {
  /** By title; undefined once it is Ready. */
  const since = new Map<string, number | undefined>();
  return ({ nodes, pods }) => {
    const now = clock.now();
    const watched = [
      ...nodes.map(({ name, ready }) => ({ title: `${name} Ready`, node: name, ready })),
      ...pods
        .filter(({ namespace }) => namespace === 'kube-system')
        .map(({ name, node, ready }) => ({ title: `pod ${name}`, node, ready })),
    ];
    for (const { title, node, ready } of watched) {
      const known = since.has(title);
      const from = since.get(title);
      if (!known) since.set(title, ready ? undefined : now);
      if (!ready || from === undefined) continue;
      since.set(title, undefined);
      events({ type: 'span', title, from, to: now, ...(node === '' ? {} : { node }) });
    }
  };
}
