import { open, watch } from 'node:fs/promises';

/** What is read at once. */
const PIECE = 64 * 1024;

/** A file that grows, from its start on, piece by piece as it is written, until the signal ends it. */
export async function* followFile(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  await using file = await open(path);
  // Watched before it is read: what comes in between is seen by the next look.
  const changes = watch(path, { signal })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const last = signal.aborted;
      for (;;) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(PIECE), 0, PIECE);
        if (bytesRead === 0) break;
        yield buffer.subarray(0, bytesRead);
      }
      if (last) return;
      // What was written until the end comes, too.
      await changes.next().catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  } finally {
    await changes.return?.();
  }
}
