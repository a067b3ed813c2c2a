import process from 'node:process';

export const seconds = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} s`;
export const times = (value: number): string => `${value.toFixed(2)} times`;

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Figures, each on a line beside its bound; the process fails when one of them is over it. */
export class Bounds {
  readonly #over: string[] = [];

  /** A figure that is to be at most the bound. */
  most(what: string, value: number, bound: number, format: (value: number) => string): void {
    this.#line(what, value, bound, format, value <= bound, '');
  }

  /** A figure that is to be at least the bound. */
  least(what: string, value: number, bound: number, format: (value: number) => string): void {
    this.#line(what, value, bound, format, value >= bound, 'at least ');
  }

  #line(what: string, value: number, bound: number, format: (value: number) => string, kept: boolean, word: string): void {
    // Not a number keeps none.
    if (!kept) {
      this.#over.push(what);
      process.exitCode = 1;
    }
    const ratio = bound === 0 ? '' : `, ratio ${(value / bound).toFixed(2)}`;
    process.stdout.write(`${what}: ${format(value)} (bound ${word}${format(bound)}${ratio})${kept ? '' : ' OVER'}\n`);
  }
}
