import { webcrypto } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

import { allOf } from '../core/all-of.ts';
import type { Digest } from '../core/digest.ts';
import { throwIfCancelled } from '../core/errors.ts';
import { CHUNK } from './record.ts';

/** Reads at once: enough to keep the threads of node's pool busy. */
const READERS = 4;

/** Pieces of a file, in bytes, in order. */
export type Extents = readonly (readonly [start: number, length: number])[];

/** Which chunks of a file may hold anything. */
export function chunksWithData(size: number, extents: Extents): ReadonlySet<number> {
  const last = Math.ceil(size / CHUNK) - 1;
  const found = new Set<number>();
  for (const [start, length] of extents) {
    for (let index = Math.floor(start / CHUNK); index <= Math.min(last, Math.floor((start + length - 1) / CHUNK)); index += 1)
      found.add(index);
  }
  return found;
}

/**
 * The digest of each chunk of a file, null for those of zeros, read side by side.
 *
 * @param extents where it holds data, as its file system tells; what is outside is not read. Undefined: everything is read
 */
export async function digestChunks(
  path: string,
  size: number,
  extents: Extents | undefined,
  signal: AbortSignal,
): Promise<(Digest | null)[]> {
  const count = Math.ceil(size / CHUNK);
  const wanted = extents === undefined ? undefined : chunksWithData(size, extents);
  const digests = Array.from<Digest | null>({ length: count }).fill(null);
  await using file = await open(path);
  await eachChunk(
    Array.from({ length: count }, (_, index) => index).filter((index) => wanted?.has(index) !== false),
    async (index, buffer) => {
      const bytes = await readChunk(file, index, buffer);
      digests[index] = isZero(bytes) ? null : await digestOfBytes(bytes);
    },
    signal,
  );
  return digests;
}

/** Works through chunks side by side, each worker with a buffer of its own. Where one fails, no more are begun, and all have ended. */
export async function eachChunk(
  indexes: readonly number[],
  work: (index: number, buffer: Buffer<ArrayBuffer>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const index = indexes[next++];
      if (index === undefined) return;
      try {
        throwIfCancelled(signal);
        await work(index, buffer);
      } catch (error) {
        next = indexes.length;
        throw error;
      }
    }
  };
  await allOf(Array.from({ length: READERS }, worker));
}

/** What a chunk of a file holds; less than a chunk at its end. */
export async function readChunk(file: FileHandle, index: number, buffer: Buffer<ArrayBuffer>): Promise<Buffer<ArrayBuffer>> {
  let length = 0;
  while (length < CHUNK) {
    const { bytesRead } = await file.read(buffer, length, CHUNK - length, index * CHUNK + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

const ZEROS = Buffer.alloc(CHUNK);

export function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}

/** SHA-256 in a thread of node's pool. */
export async function digestOfBytes(bytes: Uint8Array<ArrayBuffer>): Promise<Digest> {
  return `sha256:${Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')}`;
}
