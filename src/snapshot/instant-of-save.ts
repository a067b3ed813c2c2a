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
