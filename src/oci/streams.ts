import type { Readable, Transform } from 'node:stream';

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
