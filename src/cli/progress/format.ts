import { styleText } from 'node:util';

import type { Event, PlannedStep } from '../../core/events.ts';
import { shellLine } from '../../core/shell.ts';
import { formatSize } from '../../core/sizes.ts';

export type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

export function painter(color: boolean): Paint {
  return (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
}

/** `850 ms`, `12.3 s`, `4 m 05 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`;
}

/** `45 % of 124 MB`, `12 MB`, `3 of 7`. */
export function formatAmount(event: Extract<Event, { readonly type: 'step.progress' }>): string {
  const { done, total, unit } = event;
  if (unit === 'items') return total === undefined ? String(done) : `${done} of ${total}`;
  if (total === undefined || total === 0) return formatSize(done);
  return `${Math.floor((done / total) * 100)} % of ${formatSize(total)}`;
}

export function planLine(step: PlannedStep): string {
  return `${step.action === 'run' ? 'run  ' : 'reuse'}  ${step.title} (${step.reason})`;
}

export function commandLine(event: Extract<Event, { readonly type: 'command' }>): string {
  const code = event.exitCode === 0 ? '' : event.exitCode === null ? ', killed' : `, exit code ${event.exitCode}`;
  return `$ ${shownCommand(event.argv)}  # ${event.where}, ${formatDuration(event.ms)}${code}`;
}

/** Some commands get hundreds of files: a few rows of a terminal tell what ran, `--progress json` has all of it. */
const SHOWN_COMMAND = 500;

function shownCommand(argv: readonly string[]): string {
  const line = shellLine(argv);
  return line.length <= SHOWN_COMMAND ? line : `${line.slice(0, SHOWN_COMMAND)}… (${argv.length} words)`;
}

/** Problems read the same everywhere: `warning: ...` with the hint below. */
export function problemLines(event: Extract<Event, { readonly type: 'problem' }>, paint: Paint): string[] {
  const style = { note: 'cyan', warning: 'yellow', error: 'red' } as const;
  const first = `${paint(style[event.level], `${event.level}:`)} ${event.message}`;
  return event.hint === undefined ? [first] : [first, `  ${paint('cyan', 'hint:')} ${event.hint}`];
}

/** How a step that has ended is marked; `reused` steps are of no interest unless asked for. */
export function endMark(status: Extract<Event, { readonly type: 'step.end' }>['status'], paint: Paint): string {
  switch (status) {
    case 'done':
      return paint('green', '✓');
    case 'reused':
      return paint('green', '=');
    case 'failed':
      return paint('red', '✗');
    case 'cancelled':
      return paint('yellow', '-');
  }
}
