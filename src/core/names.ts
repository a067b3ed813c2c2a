import { KvciError } from './errors.ts';

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * A name for a cluster, a node or a file stem: an RFC 1123 label.
 *
 * @throws KvciError `bad-name`
 */
export function parseName(text: string, what = 'name'): string {
  if (DNS_LABEL.test(text)) return text;
  throw new KvciError('usage', 'bad-name', `"${text}" is not a valid ${what}`, {
    hint: 'Use lower-case letters, digits and "-", at most 63, starting and ending with a letter or digit.',
  });
}

const BY_NUMBER = new Intl.Collator('en', { numeric: true });

/** Order of names in which numbers are: `node11` before `node100`. */
export function compareNames(one: string, other: string): number {
  return BY_NUMBER.compare(one, other);
}

/** The candidate nearest to a mistyped word (at most a third of its letters wrong, missing, added or swapped), if any. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance <= Math.max(1, Math.floor(word.length / 3)) && (best === undefined || distance < best.distance))
      best = { candidate, distance };
  }
  return best?.candidate;
}

/** Optimal string alignment distance: as Levenshtein's, with a swap of neighbours counted once. */
function editDistance(a: string, b: string): number {
  let beforePrevious: readonly number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? (beforePrevious[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(substitution, swap, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}
