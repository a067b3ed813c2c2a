import { KvciError } from '../core/errors.ts';
import { formatReference, parseReference } from '../oci/reference.ts';

/** An image that a node image is to have beside those of its control plane. */
export interface PreloadReference {
  /** What pods call it: with its tag, in full. */
  readonly name: string;
  /** Where it is got, by its digest alone. */
  readonly pinned: string;
}

/** Reads `NAME:TAG@sha256:…`. @throws KvciError `bad-reference` */
export function parsePreload(text: string): PreloadReference {
  const { registry, repository, tag, digest } = parseReference(text);
  if (digest !== undefined && tag !== undefined) {
    return { name: formatReference({ registry, repository, tag }), pinned: formatReference({ registry, repository, digest }) };
  }
  const lacking = digest === undefined ? 'no digest: what is built today would be another image tomorrow' : 'no tag, by which pods call it';
  throw new KvciError('usage', 'bad-reference', `"${text}" has ${lacking}`, { hint: 'Write NAME:TAG@sha256:DIGEST.' });
}

/** Reads a list: references between commas, or lines of a file, in which "#" begins a comment. */
export function parsePreloadList(text: string): readonly string[] {
  return text
    .split('\n')
    .flatMap((line) => line.replace(/(^|\s)#.*/, '').split(','))
    .map((word) => word.trim())
    .filter((word) => word !== '');
}
