import { createHash } from 'node:crypto';

import type { FileObservation } from './types.ts';
import { HEAD_BYTES } from './types.ts';

/** Private keys are looked for in so much of the start of each file. */
const SEARCHED_BYTES = 64 * 1024;

/** A line that begins a key, followed by a line of its body: a program that only knows the words has no such line. */
const PRIVATE_KEY = /(^|\n)-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----\r?\n([A-Za-z-]+: .*\r?\n|\r?\n)*[A-Za-z0-9+/=]{16,}\r?\n/;

/** Looks at a file's bytes as they pass, keeping no more than its start. */
export class FileObserver {
  readonly #hash = createHash('sha256');
  readonly #start: Buffer[] = [];
  #kept = 0;

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    if (this.#kept >= SEARCHED_BYTES) return;
    const part = Buffer.from(chunk.subarray(0, SEARCHED_BYTES - this.#kept));
    this.#start.push(part);
    this.#kept += part.length;
  }

  finish(): FileObservation {
    const start = Buffer.concat(this.#start);
    return {
      digest: `sha256:${this.#hash.digest('hex')}`,
      head: new Uint8Array(start.subarray(0, HEAD_BYTES)),
      privateKey: start.includes('PRIVATE KEY') && PRIVATE_KEY.test(start.toString('latin1')),
    };
  }
}

export function observe(content: Uint8Array): FileObservation {
  const observer = new FileObserver();
  observer.update(content);
  return observer.finish();
}
