import { once } from 'node:events';
import { finished, type Readable, type Writable } from 'node:stream';

import { KvciError } from '../../core/errors.ts';

/** Bytes of a frame's header: the stream's number, three zeros, the length in network byte order. */
const HEADER = 8;

/**
 * Takes the two streams of a command without a terminal apart, chunk by chunk: every chunk of a frame is told with its stream.
 *
 * Source: Docker's Engine API, "Stream format" of `POST /containers/{id}/attach`.
 */
export class FrameReader {
  #header = Buffer.alloc(0);
  #left = 0;
  #stream: 'stdout' | 'stderr' = 'stdout';

  /** @throws KvciError `engine-stream-damaged` */
  *read(chunk: Buffer): Generator<readonly [stream: 'stdout' | 'stderr', bytes: Buffer]> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const bytes = rest.subarray(0, this.#left);
        this.#left -= bytes.length;
        rest = rest.subarray(bytes.length);
        yield [this.#stream, bytes];
        continue;
      }
      const missing = HEADER - this.#header.length;
      this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#header.length < HEADER) return;
      const kind = this.#header.readUInt8(0);
      if (kind > 2) throw new KvciError('failed', 'engine-stream-damaged', 'the container engine mixed up the streams of a command');
      this.#stream = kind === 2 ? 'stderr' : 'stdout';
      this.#left = this.#header.readUInt32BE(4);
      this.#header = Buffer.alloc(0);
    }
  }
}

/** Hands on what a command writes, no faster than it is taken. A sink that has closed takes nothing more. */
export async function forwardOutput(
  source: Readable,
  sinks: { readonly stdout: Writable; readonly stderr: Writable },
  terminal: boolean,
): Promise<void> {
  const frames = new FrameReader();
  for await (const chunk of source as AsyncIterable<Buffer>) {
    for (const [name, bytes] of terminal ? [['stdout', chunk] as const] : frames.read(chunk)) {
      await pour(bytes, sinks[name]);
    }
  }
}

/** Writes a chunk and waits until the sink takes more. A sink that has closed takes nothing. */
export async function pour(bytes: Buffer, sink: Writable): Promise<void> {
  if (sink.destroyed || sink.writableEnded) return;
  if (sink.write(bytes)) return;
  // Whichever comes first: the other one is not listened for any longer.
  const done = new AbortController();
  const options = { signal: done.signal };
  await Promise.race([once(sink, 'drain', options), once(sink, 'close', options)]);
  done.abort();
}

/** What a command reads while it runs. */
export interface Input {
  /** What is wrong with its source says more than what a command makes of half of it. */
  throwIfBroken(): void;
  /** Lets go of the source, which may serve another one. */
  takeAway(): void;
}

/**
 * Gives a command its input. Where the source breaks, the command gets what came so far and an end: a pipe alone would have it wait for
 * the rest.
 */
export function feed(source: Readable, command: Writable): Input {
  let broken: Error | undefined;
  const forget = finished(source, { writable: false }, (error) => {
    if (!(error instanceof Error)) return;
    broken = error;
    command.end();
  });
  source.pipe(command);
  return {
    throwIfBroken: () => {
      if (broken !== undefined) throw broken;
    },
    takeAway: () => {
      forget();
      source.unpipe(command);
    },
  };
}
