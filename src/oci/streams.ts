import type { Readable, Transform } from 'node:stream';

import { KvciError } from '../core/errors.ts';

/** Reads to the end, for the sake of what happens on the way. */
export async function drain(chunks: AsyncIterable<unknown>): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
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
