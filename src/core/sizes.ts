import { KvciError } from './errors.ts';

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/**
 * Bytes of a size such as `10G`, `512MiB`, `1.5 GB` or `4096`. `K M G T` are powers of 1000, `Ki Mi Gi Ti` of 1024.
 *
 * @throws KvciError `bad-size`
 */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?\s*$/i.exec(text);
  const factor = FACTORS[(match?.[2] ?? '').toLowerCase()];
  const bytes = Math.round(Number(match?.[1]) * (factor ?? Number.NaN));
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new KvciError('usage', 'bad-size', `"${text}" is not a size`, { hint: 'Write a size as 512M, 10G or 4GiB.' });
}

/** A size for people: `1.2 GB`, three significant digits, powers of 1000. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toPrecision(3)} ${units[unit] ?? 'B'}`;
}
