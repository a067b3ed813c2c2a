import type { RecordedRun, RecordedStep } from '../core/recorded-run.ts';

/** A bar of a timeline; times are milliseconds from the start of its run. */
export interface Bar {
  readonly title: string;
  readonly from: number;
  readonly to: number;
  /** `seen`: not a step of kvci's but what happened on the node. */
  readonly kind: RecordedStep['status'] | 'seen';
}

/** What happened in one place, in order. */
export interface Lane {
  /** A node; undefined for what belongs to none. */
  readonly node: string | undefined;
  readonly bars: readonly Bar[];
}

/** The bars of a run by node: what belongs to none first, then nodes by name. */
export function lanesOf(run: RecordedRun): readonly Lane[] {
  const placed = [
    ...run.steps.map((step) => {
      const { title, node } = placeOf(step);
      return { node, bar: { title, from: step.from - run.from, to: (step.to ?? run.to) - run.from, kind: step.status } satisfies Bar };
    }),
    ...run.spans.map(({ title, node, from, to }) => ({
      node,
      bar: { title, from: from - run.from, to: to - run.from, kind: 'seen' } satisfies Bar,
    })),
  ];
  // Sorting would put undefined last.
  const nodes = [...new Set(placed.map(({ node = '' }) => node))].toSorted();
  return nodes
    .map((name) => (name === '' ? undefined : name))
    .map((node) => ({
      node,
      bars: placed
        .filter((each) => each.node === node)
        .map(({ bar }) => bar)
        .toSorted((a, b) => a.from - b.from || b.to - a.to),
    }));
}

/** Steps on nodes are called `boot node01` and `boot (node01)`. */
function placeOf({ id, title }: RecordedStep): { readonly title: string; readonly node: string | undefined } {
  const [, words, node] = /^(.+) \(([^()]+)\)$/.exec(title) ?? [];
  return words !== undefined && node !== undefined && id.endsWith(` ${node}`) ? { title: words, node } : { title, node: undefined };
}

/** `850 ms`, `12.3 s`, `4:05 min`. */
export function timeText(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} min`;
}
