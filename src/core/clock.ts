/** Time as the code sees it; the only implementation that reads the real clock stands in `host/clock.ts`. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
  /** Resolves after `ms`, rejects when the signal aborts. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
}
