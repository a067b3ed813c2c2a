import { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** Keeps what is written to it as text, and hands on each line as it comes, the last one also when no newline ends it. */
export class OutputText extends Writable {
  #text = '';
  #rest = '';
  readonly #decoder = new StringDecoder();
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #keep: boolean;

  constructor(options: { readonly keep: boolean; readonly onLine?: ((line: string) => void) | undefined }) {
    super();
    this.#keep = options.keep;
    this.#onLine = options.onLine;
  }

  get text(): string {
    return this.#text;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take(this.#decoder.write(chunk));
    done();
  }

  override _final(done: () => void): void {
    this.#take(this.#decoder.end());
    if (this.#rest !== '') this.#onLine?.(this.#rest);
    done();
  }

  #take(text: string): void {
    if (this.#keep) this.#text += text;
    if (this.#onLine === undefined) return;
    const pieces = (this.#rest + text).split('\n');
    this.#rest = pieces.pop() ?? '';
    for (const line of pieces) this.#onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
  }
}
