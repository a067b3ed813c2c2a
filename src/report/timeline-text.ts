import type { RecordedRun } from '../core/recorded-run.ts';
import { lanesOf, timeText } from './lanes.ts';

/** Letters of the drawing: less shows nothing, more is not read. */
const NARROWEST = 20;
const WIDEST = 80;

/** A run as lines for a terminal of that many columns: where and what, how long, and a bar where it lay. */
export function timelineText(run: RecordedRun, columns: number): string {
  const rows = lanesOf(run).flatMap(({ node, bars }) =>
    bars.map((bar) => ({ ...bar, label: `${node ?? ''}${node === undefined ? '' : ' '}${bar.title}` })),
  );
  const labels = Math.max(0, ...rows.map(({ label }) => label.length));
  const times = Math.max(0, ...rows.map(({ from, to }) => timeText(to - from).length));
  const width = Math.min(WIDEST, Math.max(NARROWEST, columns - labels - times - 4));
  const end = Math.max(1, run.to - run.from, ...rows.map(({ to }) => to));
  const at = (ms: number): number => Math.min(width - 1, Math.floor((Math.max(0, ms) / end) * width));
  return [
    `kvci ${run.command}: ${run.subject}, ${new Date(run.from).toISOString().slice(0, 19).replace('T', ' ')} UTC, ${timeText(run.to - run.from)}, ${run.status === 'running' ? 'never ended' : run.status}`,
    ...(run.message === undefined ? [] : [run.message]),
    ...rows.map(({ label, from, to, kind }) => {
      const mark = kind === 'seen' ? '-' : kind === 'failed' ? 'x' : '=';
      const bar = `${' '.repeat(at(from))}${mark.repeat(at(to) - at(from) + 1)}`;
      return `${label.padEnd(labels)}  ${timeText(to - from).padStart(times)}  ${bar}`;
    }),
  ].join('\n');
}
