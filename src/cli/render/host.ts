import { formatSize } from '../../core/sizes.ts';
import type { TextStyle } from '../command.ts';
import { painter } from '../progress/format.ts';
import type { CachePruneReport, DoctorReport, HostService, PruneReport } from '../services.ts';
import { table } from './table.ts';

const STYLES = { ok: 'green', warning: 'yellow', error: 'red' } as const;

export function formatDoctor(report: DoctorReport, style: TextStyle): string {
  const paint = painter(style.color);
  const indent = ' '.repeat('warning  '.length);
  const lines = report.checks.flatMap((check) => {
    const [first, ...more] = (check.message ?? '').split('\n');
    return [
      `${paint(STYLES[check.status], check.status.padEnd(7))}  ${check.title}${first === '' ? '' : `: ${first ?? ''}`}`,
      ...more.map((line) => `${indent}${line}`),
      ...check.commands.map((command) => `${indent}$ ${command}`),
    ];
  });
  const errors = report.checks.filter((check) => check.status === 'error').length;
  const fixable = report.checks.some((check) => check.commands.length > 0);
  return [
    ...lines,
    '',
    errors === 0 ? 'This host is ready.' : `${errors} ${errors === 1 ? 'problem' : 'problems'}.`,
    ...(fixable ? ['"kvci doctor --fix", as root, runs the commands above.'] : []),
  ].join('\n');
}

export function formatPrune(report: PruneReport): string {
  const lines = [...report.removed.map((what) => `removed ${what}`), ...report.failed, ...report.unseen];
  return lines.length === 0 ? 'Nothing was left behind.' : lines.join('\n');
}

export function formatCacheList({ folder, size, images, entries }: Awaited<ReturnType<HostService['cacheList']>>): string {
  const minute = (time = ''): string => time.slice(0, 16).replace('T', ' ');
  const rows = entries.map((entry) => [entry.kind, formatSize(entry.size), minute(entry.madeAt), minute(entry.lastUsed), entry.title]);
  return [
    ...(rows.length === 0 ? [] : [table(['KIND', 'SIZE', 'MADE', 'LAST USED', 'WHAT'], rows)]),
    `${formatSize(size)} in ${folder}`,
    ...(images === 0 ? [] : [`and ${formatSize(images)} of images: see "kvci image list" and "kvci image rm"`]),
  ].join('\n');
}

export function formatCachePrune(report: CachePruneReport): string {
  const { unusedBlobs } = report;
  return [
    ...report.removed.map((entry) => `removed ${entry.kind}: ${entry.title} (${formatSize(entry.size)})`),
    ...report.leftovers.map((path) => `removed ${path}`),
    ...report.inUse.map((entry) => `in use  ${entry.kind}: ${entry.title} (${formatSize(entry.size)})`),
    ...(unusedBlobs.count === 0 ? [] : [`removed ${unusedBlobs.count} blobs that no image needs (${formatSize(unusedBlobs.size)})`]),
    `${formatSize(report.freed)} freed, ${formatSize(report.size)} kept.`,
  ].join('\n');
}
