import type { Clock } from './clock.ts';
import type { KvciError } from './errors.ts';

/** A signal that also aborts, with an error of its own, when time is up. Disposing it stops the clock. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

/** @param late what the signal is aborted with; asked when time is up, so that it can tell what was seen last */
export function deadline(clock: Clock, ms: number, signal: AbortSignal, late: () => KvciError): Deadline {
  const timer = new AbortController();
  const done = new AbortController();
  clock.wait(ms, done.signal).then(
    () => {
      timer.abort(late());
    },
    () => undefined,
  );
  return {
    signal: AbortSignal.any([signal, timer.signal]),
    [Symbol.dispose]: () => {
      done.abort();
    },
  };
}
