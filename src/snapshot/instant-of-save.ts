/** How often a kubelet renews its lease: a quarter of the forty seconds that it is good for (`nodeLeaseDurationSeconds`). */
const EVERY_MS = 10_000;

/** What a node that goes on needs until its clock is right: a lease that is renewed before that says the wrong time. */
const AHEAD_MS = 2_500;

/**
 * When nodes are best saved: a cluster that goes on is Ready once every kubelet has renewed its lease, which each does ten seconds after
 * the last time. Saved shortly before, it need not wait for that. Answers how long to wait, in milliseconds, less than ten seconds.
 *
 * @param renewed when each has renewed its lease last, in milliseconds
 */
export function untilBestInstant(renewed: readonly number[], now: number): number {
  const next = (time: number, from: number): number => {
    const periods = Math.max(0, Math.ceil((from - time) / EVERY_MS));
    return time + periods * EVERY_MS;
  };
  const candidates = renewed.map((time) => next(time, now + AHEAD_MS) - AHEAD_MS);
  const lastAfter = (instant: number): number => Math.max(...renewed.map((time) => next(time, instant + AHEAD_MS) - instant));
  const [best] = candidates.toSorted((a, b) => lastAfter(a) - lastAfter(b) || a - b);
  return best === undefined ? 0 : best - now;
}
