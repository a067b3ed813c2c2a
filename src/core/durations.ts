import { KvciError } from './errors.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * Milliseconds of a duration such as `90s`, `15m`, `1h30m`.
 *
 * @throws KvciError `bad-duration`
 */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smh])/g)];
  const ms = parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNITS[unit ?? ''] ?? Number.NaN), 0);
  if (ms > 0 && parts.map(([whole]) => whole).join('') === text) return Math.round(ms);
  throw new KvciError('usage', 'bad-duration', `"${text}" is not a duration`, { hint: 'Write it as 90s, 15m or 1h30m.' });
}
