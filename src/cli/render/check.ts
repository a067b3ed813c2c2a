import { formatSize } from '../../core/sizes.ts';
import type { CheckReport } from '../../image/check/types.ts';
import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import { table } from './table.ts';

/** Failures last, where the eye is when a long list has scrolled by. */
export function formatCheck(image: string, report: CheckReport, style: TextStyle): string {
  const paint = painter(style.color);
  const failed = report.facts.filter(({ status }) => status === 'failed');
  const { sizes } = report;
  return [
    table(
      ['SIZE', 'LARGEST CONTRIBUTORS'],
      sizes.largest.map(({ path, size }) => [formatSize(size), path]),
    ),
    '',
    `${formatSize(sizes.unpacked)} unpacked, ${formatSize(sizes.compressed)} compressed`,
    '',
    ...report.facts.filter(({ status }) => status === 'passed').map(({ id, title }) => `${paint('green', 'pass')}  ${id}: ${title}`),
    ...failed.flatMap(({ id, title, findings }) => [
      `${paint('red', 'fail')}  ${id}: ${title}`,
      ...findings.map(({ message, path }) => `        ${path === undefined ? '' : `${path}: `}${message}`),
    ]),
    '',
    failed.length === 0
      ? `${image}: all ${report.facts.length} facts hold.`
      : `${image}: ${failed.length} of ${report.facts.length} facts do not hold.`,
  ].join('\n');
}
