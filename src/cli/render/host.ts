import { formatSize } from '../../core/sizes.ts';
import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import type { DoctorReport, PruneReport } from '../services.ts';

const STYLES = { ok: 'green', warning: 'yellow', error: 'red' } as const;

export function formatDoctor(report: DoctorReport, style: TextStyle): string {
  const paint = painter(style.color);
  const lines = report.checks.flatMap((check) => [
    `${paint(STYLES[check.status], check.status.padEnd(7))}  ${check.title}${check.message === undefined ? '' : `: ${check.message}`}`,
    ...check.commands.map((command) => `           $ ${command}`),
  ]);
  const errors = report.checks.filter((check) => check.status === 'error').length;
  const fixable = report.checks.some((check) => check.status !== 'ok' && check.commands.length > 0);
  return [
    ...lines,
    '',
    errors === 0 ? 'This host is ready.' : `${errors} ${errors === 1 ? 'problem' : 'problems'}.`,
    ...(fixable ? ['"kvci doctor --fix", as root, runs the commands above.'] : []),
  ].join('\n');
}

export function formatPrune(report: PruneReport, nothing: string): string {
  if (report.removed.length === 0) return nothing;
  return [...report.removed.map((item) => `${item.kind}: ${item.what}`), `${formatSize(report.freedBytes)} freed.`].join('\n');
}
