import { randomBytes } from 'node:crypto';

import { COMMAND_DEADLINE_MS } from '../cluster/deadlines.ts';
import type { RunContext } from '../core/plan.ts';
import type { NodeHandle } from '../machine/types.ts';

/** What the pool of a kernel holds. */
const SEED_BYTES = 64;

/**
 * Sets the clock and feeds the random number generator: two machines of one state would go on with the same numbers. A kernel that
 * knows its generation (vmgenid) has made new ones already; others mix these in.
 */
const WAKE = 'date --utc --set="@$1" >/dev/null && cat >/dev/urandom';

/** Puts a node right that has just gone on from what was saved: it takes the time of its saving for now. */
export async function wakeGuest(node: NodeHandle, { clock, signal }: Pick<RunContext, 'clock' | 'signal'>): Promise<void> {
  const now = (clock.now() / 1000).toFixed(3);
  await node.run(['sh', '-c', WAKE, 'sh', now], { stdin: randomBytes(SEED_BYTES), timeoutMs: COMMAND_DEADLINE_MS, signal });
}
