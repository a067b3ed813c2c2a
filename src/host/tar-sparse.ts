import { Buffer } from 'node:buffer';

import { KvciError } from '../core/errors.ts';

const ZEROS = Buffer.alloc(64 * 1024);

export interface SparseContent {
  /** Size of the whole file, holes included. */
  readonly size: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

/**
 * The whole content of a sparse file that GNU tar stored with its holes left out (`tar --sparse --format=posix`): PAX sparse
 * formats 1.0 (the map stands before the data) and 0.1 (the map is a PAX record). Undefined for an ordinary file.
 * Source: GNU tar manual, "Storing Sparse Files".
 *
 * @throws KvciError `tar-damaged`, `tar-unsupported` (format 0.0)
 */
export async function sparseContent(
  pax: Readonly<Record<string, string>>,
  chunks: AsyncIterator<Uint8Array>,
): Promise<SparseContent | undefined> {
  const version = `${pax['GNU.sparse.major'] ?? ''}.${pax['GNU.sparse.minor'] ?? ''}`;
  if (version === '1.0') {
    const size = whole(pax['GNU.sparse.realsize']);
    const { map, rest } = await readMap(chunks);
    return { size, chunks: expand(size, map, rest, chunks) };
  }
  if (pax['GNU.sparse.map'] !== undefined) {
    const size = whole(pax['GNU.sparse.size']);
    return { size, chunks: expand(size, pairs(pax['GNU.sparse.map'].split(',').map(whole)), Buffer.alloc(0), chunks) };
  }
  if (Object.keys(pax).some((keyword) => keyword.startsWith('GNU.sparse.')))
    throw new KvciError('failed', 'tar-unsupported', 'the tar holds a sparse file in a format that kvci does not read', {
      hint: 'Write the tar with --format=posix --sparse-version=1.0, or without --sparse.',
    });
  return undefined;
}

type SparseMap = readonly { readonly offset: number; readonly length: number }[];

/** Format 1.0: decimal numbers, one a line (count, then offset and length of each piece), padded to blocks of 512 bytes. */
async function readMap(chunks: AsyncIterator<Uint8Array>): Promise<{ readonly map: SparseMap; readonly rest: Buffer }> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const lines = bytes.toString('latin1').split('\n');
    const count = lines.length > 1 ? whole(lines[0]) : Infinity;
    if (lines.length > 1 + 2 * count) {
      const used = lines.slice(0, 1 + 2 * count).join('\n').length + 1;
      const padded = Math.ceil(used / 512) * 512;
      if (bytes.length >= padded) return { map: pairs(lines.slice(1, 1 + 2 * count).map(whole)), rest: bytes.subarray(padded) };
    }
    const next = await chunks.next();
    if (next.done === true) throw damaged();
    bytes = Buffer.concat([bytes, next.value]);
  }
}

async function* expand(size: number, map: SparseMap, rest: Buffer, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  let at = 0;
  let buffered: Uint8Array = rest;
  for (const { offset, length } of [...map, { offset: size, length: 0 }]) {
    if (offset < at || offset + length > size) throw damaged();
    for (; at < offset; at += Math.min(ZEROS.length, offset - at)) yield ZEROS.subarray(0, Math.min(ZEROS.length, offset - at));
    for (let left = length; left > 0;) {
      if (buffered.length === 0) {
        const next = await chunks.next();
        if (next.done === true) throw damaged();
        buffered = next.value;
      }
      const piece = buffered.subarray(0, left);
      buffered = buffered.subarray(piece.length);
      left -= piece.length;
      at += piece.length;
      yield piece;
    }
  }
}

function pairs(numbers: readonly number[]): SparseMap {
  return numbers.flatMap((offset, index) => (index % 2 === 0 ? [{ offset, length: numbers[index + 1] ?? 0 }] : []));
}

function whole(text: string | undefined): number {
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  throw damaged();
}

function damaged(): KvciError {
  return new KvciError('failed', 'tar-damaged', 'the tar has a malformed map of a sparse file');
}
