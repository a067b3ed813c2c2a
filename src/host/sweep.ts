import { KvciError, messageOf } from '../core/errors.ts';

/** What clean-up came to, for people. */
export interface SweepResult {
  readonly removed: readonly string[];
  /** What is still there, and why. */
  readonly failed: readonly KvciError[];
}

/** Takes away one kind of things that nobody needs any more. */
export interface Sweep {
  /** As in "cannot remove WHAT". */
  readonly what: string;
  sweep(): Promise<SweepResult>;
}

/** A sweep of things that go one by one, or not at all. */
export function sweepOf(what: string, remove: () => Promise<readonly string[]>): Sweep {
  return { what, sweep: async () => ({ removed: await remove(), failed: [] }) };
}

/** All sweeps in their order; one that fails is told, and keeps none of the others from its work. */
export async function sweepAll(sweeps: readonly Sweep[]): Promise<SweepResult> {
  const removed: string[] = [];
  const failed: KvciError[] = [];
  for (const each of sweeps) {
    try {
      const result = await each.sweep();
      removed.push(...result.removed);
      failed.push(...result.failed);
    } catch (error) {
      failed.push(notRemoved(each.what, error));
    }
  }
  return { removed, failed };
}

export function notRemoved(what: string, cause: unknown, facts: KvciError['facts'] = {}): KvciError {
  return new KvciError('failed', 'not-removed', `cannot remove ${what}: ${messageOf(cause)}`, { facts, cause });
}
