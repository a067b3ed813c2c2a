import { HEAD_BYTES, type FileObservation } from './types.ts';

/** Private keys are looked for in so much of the start of each file. */
const SEARCHED_BYTES = 64 * 1024;

/** A line that begins a key, followed by a line of its body: a program that only knows the words has no such line. */
const PRIVATE_KEY = /(^|\n)-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----\r?\n([A-Za-z-]+: .*\r?\n|\r?\n)*[A-Za-z0-9+/=]{16,}\r?\n/;

/** Looks at a file's bytes as they pass, and lets go of them as soon as it has seen enough. */
export class FileObserver {
  readonly #wanted: number;
  #start: Uint8Array[] = [];
  #kept = 0;
  #result: FileObservation | undefined;

  /** @param size - of the file, in bytes */
  constructor(size: number) {
    this.#wanted = Math.min(size, SEARCHED_BYTES);
  }

  update(chunk: Uint8Array): void {
    if (this.#result !== undefined) return;
    const part = Buffer.from(chunk.subarray(0, this.#wanted - this.#kept));
    this.#start.push(part);
    this.#kept += part.length;
    if (this.#kept === this.#wanted) this.#result = this.#look();
  }

  finish(): FileObservation {
    return (this.#result ??= this.#look());
  }

  #look(): FileObservation {
    const start = Buffer.concat(this.#start);
    this.#start = [];
    return {
      head: new Uint8Array(start.subarray(0, HEAD_BYTES)),
      privateKey: start.includes('PRIVATE KEY') && PRIVATE_KEY.test(start.toString('latin1')),
    };
  }
}

export function observe(content: Uint8Array): FileObservation {
  const observer = new FileObserver(content.length);
  observer.update(content);
  return observer.finish();
}
