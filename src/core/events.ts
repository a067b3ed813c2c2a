import { maskSecrets, type Secret } from './secrets.ts';

/** Whether a step's result has to be made or is there already, and why. */
export interface PlannedStep {
  readonly id: string;
  readonly title: string;
  readonly action: 'run' | 'reuse';
  readonly reason: string;
}

export type Event =
  | { readonly type: 'plan'; readonly steps: readonly PlannedStep[] }
  | { readonly type: 'step.start'; readonly step: string; readonly title: string }
  | {
      readonly type: 'step.progress';
      readonly step: string;
      readonly done: number;
      readonly total?: number;
      readonly unit: 'bytes' | 'items';
      readonly message?: string;
    }
  | { readonly type: 'step.output'; readonly step: string; readonly line: string }
  | { readonly type: 'step.end'; readonly step: string; readonly status: 'done' | 'reused' | 'failed' | 'cancelled'; readonly ms: number }
  | {
      readonly type: 'command';
      readonly argv: readonly string[];
      readonly where: string;
      readonly ms: number;
      readonly exitCode: number | null;
    }
  /** What happened on a node or in a cluster beside kvci's own steps; times are milliseconds since the epoch. For records, not for people who wait. */
  | { readonly type: 'span'; readonly title: string; readonly node?: string; readonly from: number; readonly to: number }
  | { readonly type: 'problem'; readonly level: 'note' | 'warning' | 'error'; readonly message: string; readonly hint?: string };

/** Where events go: a terminal, plain lines, NDJSON, a run directory. Never throws, never waits. */
export type EventSink = (event: Event) => void;

/** Masks secrets in every text of an event: the one place where that is done. */
export function masking(secrets: ReadonlySet<Secret>, sink: EventSink): EventSink {
  return (event) => {
    if (secrets.size === 0) sink(event);
    else sink(maskDeep(event, (text) => maskSecrets(text, secrets)));
  };
}

function maskDeep<T>(value: T, mask: (text: string) => string): T;
function maskDeep(value: unknown, mask: (text: string) => string): unknown {
  if (typeof value === 'string') return mask(value);
  if (Array.isArray(value)) return value.map((inner: unknown) => maskDeep(inner, mask));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, maskDeep<unknown>(inner, mask)]));
  }
  return value;
}
