import { open, watch } from 'node:fs/promises';

/** What is read at once. */
const PIECE = 64 * 1024;

/** A file that grows, from its start on, piece by piece as it is written, until the signal ends it. */
export async function* followFile(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  await using file = await open(path);
  // One that waits for a change is ended by its signal alone.
  const done = new AbortController();
  const changes = watch(path, { signal: AbortSignal.any([signal, done.signal]) })[Symbol.asyncIterator]();
  // Nothing is watched before somebody asks: asked before the file is read, what comes in between is seen by the next look.
  const nextChange = (): Promise<unknown> =>
    changes.next().catch((error: unknown) => {
      if (!signal.aborted && !done.signal.aborted) throw error;
    });
  try {
    for (;;) {
      const change = nextChange();
      change.catch(() => undefined);
      const last = signal.aborted;
      for (;;) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(PIECE), 0, PIECE);
        if (bytesRead === 0) break;
        yield buffer.subarray(0, bytesRead);
      }
      // What was written until the end comes, too.
      if (last) return;
      await change;
    }
  } finally {
    done.abort();
    await changes.return?.();
  }
}
