import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import type { CheckReport } from '../services.ts';

const STYLES = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'dim' } as const;

/** Failures last, where the eye is when a long list has scrolled by. */
export function formatCheck(report: CheckReport, style: TextStyle): string {
  const paint = painter(style.color);
  const order = ['pass', 'skip', 'warn', 'fail'];
  const lines = report.facts
    .toSorted((a, b) => order.indexOf(a.status) - order.indexOf(b.status))
    .flatMap((fact) => [
      `${paint(STYLES[fact.status], fact.status.padEnd(4))}  ${fact.id}: ${fact.title}`,
      ...(fact.detail === undefined || fact.status === 'pass' ? [] : fact.detail.split('\n').map((line) => `      ${line}`)),
    ]);
  const failed = report.facts.filter((fact) => fact.status === 'fail').length;
  return [
    ...lines,
    '',
    failed === 0 ? `${report.image}: all facts hold.` : `${report.image}: ${failed} of ${report.facts.length} facts do not hold.`,
  ].join('\n');
}
