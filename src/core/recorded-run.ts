import { z } from 'zod';

import type { Event } from './events.ts';

/** How a run is told apart from others in a file of events. */
export interface RunHead {
  /** The words after `kvci`. */
  readonly command: string;
  /** What it worked on: the name of a cluster, a version of Kubernetes. */
  readonly subject: string;
}

/** A line of a file of events: when, in milliseconds since the epoch, and what. */
export type RecordLine = { readonly at: number } & (
  ({ readonly type: 'run.start' } & RunHead) | { readonly type: 'run.end'; readonly status: RunStatus; readonly message?: string } | Event
);

export type RunStatus = 'done' | 'failed' | 'cancelled';

export interface RecordedStep {
  /** As events name it; a step that ran twice is two. */
  readonly id: string;
  readonly title: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  /** Missing for one that never ended: kvci was killed. */
  readonly to?: number;
  readonly status: 'done' | 'reused' | 'failed' | 'cancelled' | 'running';
}

export interface RecordedSpan {
  readonly title: string;
  readonly node?: string;
  readonly from: number;
  readonly to: number;
}

/** One run as its events tell it. */
export interface RecordedRun extends RunHead {
  readonly from: number;
  /** When the last of its events came. */
  readonly to: number;
  /** `running` also for one that was killed. */
  readonly status: RunStatus | 'running';
  readonly message?: string;
  readonly steps: readonly RecordedStep[];
  /** What happened on nodes and in the cluster beside kvci's own steps. */
  readonly spans: readonly RecordedSpan[];
  /** What steps printed. */
  readonly output: readonly { readonly step: string; readonly line: string }[];
}

const lineSchema = z.discriminatedUnion('type', [
  z.object({ at: z.number(), type: z.literal('run.start'), command: z.string(), subject: z.string() }),
  z.object({ at: z.number(), type: z.literal('run.end'), status: z.enum(['done', 'failed', 'cancelled']), message: z.string().optional() }),
  z.object({ at: z.number(), type: z.literal('step.start'), step: z.string(), title: z.string() }),
  z.object({ at: z.number(), type: z.literal('step.end'), step: z.string(), status: z.enum(['done', 'reused', 'failed', 'cancelled']) }),
  z.object({ at: z.number(), type: z.literal('step.output'), step: z.string(), line: z.string() }),
  z.object({
    at: z.number(),
    type: z.literal('span'),
    title: z.string(),
    node: z.string().optional(),
    from: z.number(),
    to: z.number(),
  }),
]);

type Line = z.output<typeof lineSchema>;

/** The runs of a file of events, oldest first. Lines of other kinds, and one that was torn by a kill, are left out. */
export function parseRuns(text: string): readonly RecordedRun[] {
  const runs: Line[][] = [];
  for (const line of text.split('\n').flatMap(parseLine)) {
    if (line.type === 'run.start') runs.push([line]);
    else runs.at(-1)?.push(line);
  }
  return runs.map(runOf);
}

function parseLine(text: string): readonly Line[] {
  try {
    const { data } = lineSchema.safeParse(JSON.parse(text));
    return data === undefined ? [] : [data];
  } catch {
    return [];
  }
}

function runOf(lines: readonly Line[]): RecordedRun {
  const head = lines.find((line) => line.type === 'run.start');
  const end = lines.find((line) => line.type === 'run.end');
  const steps: RecordedStep[] = [];
  for (const line of lines) {
    if (line.type === 'step.start') steps.push({ id: line.step, title: line.title, from: line.at, status: 'running' });
    if (line.type !== 'step.end') continue;
    const at = steps.findLastIndex(({ id, status }) => id === line.step && status === 'running');
    const step = steps[at];
    if (step !== undefined) steps[at] = { ...step, to: line.at, status: line.status };
  }
  const spans = lines
    .filter((line) => line.type === 'span')
    .map(({ title, node, from, to }) => ({ title, from, to, ...(node === undefined ? {} : { node }) }));
  return {
    command: head?.command ?? '',
    subject: head?.subject ?? '',
    from: lines[0]?.at ?? 0,
    to: lines.at(-1)?.at ?? 0,
    status: end?.status ?? 'running',
    ...(end?.message === undefined ? {} : { message: end.message }),
    steps,
    spans,
    output: lines.filter((line) => line.type === 'step.output').map(({ step, line }) => ({ step, line })),
  };
}
