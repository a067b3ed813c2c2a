import type { Readable, Transform } from 'node:stream';

import { KvciError } from '../core/errors.ts';

/** Reads to the end, for the sake of what happens on the way. */
export async function drain(chunks: AsyncIterable<unknown>): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

/** The same bytes in chunks of `size`, the last one shorter: small chunks cost zlib and hashes a trip to another thread each. */
export async function* rechunk(chunks: AsyncIterable<Uint8Array>, size = 256 * 1024): AsyncGenerator<Uint8Array> {
  let batch = Buffer.allocUnsafe(size);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) {
      const part = chunk.subarray(at, at + size - filled);
      batch.set(part, filled);
      at += part.byteLength;
      filled += part.byteLength;
      if (filled < size) continue;
      yield batch;
      batch = Buffer.allocUnsafe(size);
      filled = 0;
    }
  }
  if (filled > 0) yield batch.subarray(0, filled);
}

/** The same bytes, small chunks together up to `size`, larger ones as they are: for who pays for each chunk and not for its size. */
export async function* gathered(chunks: AsyncIterable<Uint8Array>, size = 256 * 1024): AsyncGenerator<Uint8Array> {
  let small: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    if (length > 0 && length + chunk.byteLength > size) {
      yield Buffer.concat(small, length);
      small = [];
      length = 0;
    }
    if (chunk.byteLength >= size) yield chunk;
    else {
      small.push(chunk);
      length += chunk.byteLength;
    }
  }
  if (length > 0) yield Buffer.concat(small, length);
}

/** The bytes after an engine of node's zlib, which starts with the first byte asked for. */
export async function* through(source: Readable, engine: () => Transform): AsyncGenerator<Uint8Array> {
  const started = engine();
  source.once('error', (error) => started.destroy(error));
  try {
    yield* source.pipe(started) as AsyncIterable<Uint8Array>;
    // An engine may end before it has taken a checksum behind the data.
    if (!source.readableEnded && !source.destroyed) await drain(source);
  } finally {
    source.destroy();
  }
}

/** Everything a stream has, at most some MB. @throws KvciError `oci-malformed` for more */
export async function readAll(chunks: AsyncIterable<Uint8Array>, limit = 16 * 2 ** 20): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.byteLength;
    if (size > limit) throw new KvciError('failed', 'oci-malformed', `a document of more than ${limit} bytes came`);
    pieces.push(chunk);
  }
  return Buffer.concat(pieces);
}
