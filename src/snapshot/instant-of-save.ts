/**
 * The longest that a kubelet goes without renewing its lease: a quarter of the forty seconds that it is good for
 * (`nodeLeaseDurationSeconds`), at random up to a twenty-fifth more, and what the API takes on an emulated machine.
 */
const LATEST_MS = 11_500;

/**
 * How long until every kubelet that is held back is due to renew its lease, in milliseconds: a cluster that goes on is Ready once all
 * have done so, and these do it as soon as they are let go.
 *
 * @param renewed when each has renewed its lease last, in milliseconds
 */
export function untilAllDue(renewed: readonly number[], now: number): number {
  return Math.max(0, ...renewed.map((time) => Math.min(time + LATEST_MS - now, LATEST_MS)));
}

/** How long a kubelet takes to renew its lease, and to be held back, on an emulated machine. */
const RENEWING_MS = 1_500;
const HOLDING_MS = 2_500;

/** How long a kubelet waits between renewals at least. */
const EARLIEST_MS = 10_000;

/**
 * How long until a kubelet can be held back without being stopped amid a renewal, in milliseconds; undefined: its next renewal has to be
 * waited for.
 *
 * @param renewed when it has renewed its lease last, in milliseconds
 */
export function untilBetweenRenewals(renewed: number, now: number): number | undefined {
  const age = now - renewed;
  // Nobody knows when, if ever.
  if (age > LATEST_MS) return 0;
  if (age > EARLIEST_MS - HOLDING_MS) return undefined;
  return Math.min(RENEWING_MS, Math.max(0, RENEWING_MS - age));
}
