import { isErrno, KvciError, messageOf, throwIfCancelled } from '../core/errors.ts';

/** What clean-up came to, for people. */
export interface SweepResult {
  readonly removed: readonly string[];
  /** What is still there, and why. */
  readonly failed: readonly KvciError[];
  /** Where nobody could look, and why: whether something is left there is not known. */
  readonly unseen?: readonly string[];
}

/** Takes away one kind of things that nobody needs any more. */
export interface Sweep {
  /** As in "cannot remove WHAT". */
  readonly what: string;
  sweep(signal: AbortSignal): Promise<SweepResult>;
}

/** A sweep of things that go one by one, or not at all. */
export function sweepOf(what: string, remove: () => Promise<readonly string[]>): Sweep {
  return { what, sweep: async () => ({ removed: await remove(), failed: [] }) };
}

/**
 * All sweeps in their order; one that fails is told, and keeps none of the others from its work.
 *
 * @throws KvciError `cancelled`
 */
export async function sweepAll(sweeps: readonly Sweep[], signal: AbortSignal): Promise<Required<SweepResult>> {
  const removed: string[] = [];
  const failed: KvciError[] = [];
  const unseen: string[] = [];
  for (const each of sweeps) {
    throwIfCancelled(signal);
    try {
      const result = await each.sweep(signal);
      removed.push(...result.removed);
      failed.push(...result.failed);
      unseen.push(...(result.unseen ?? []));
    } catch (error) {
      throwIfCancelled(signal);
      failed.push(notRemoved(each.what, error));
    }
  }
  throwIfCancelled(signal);
  return { removed, failed, unseen };
}

/** @throws `cause` itself where it is no failure that kvci or the system explains: a cancellation, a bug of ours */
export function notRemoved(what: string, cause: unknown, facts: KvciError['facts'] = {}): KvciError {
  if (!isFailure(cause)) throw cause;
  return new KvciError('failed', 'not-removed', `cannot remove ${what}: ${messageOf(cause)}`, { facts, cause });
}

function isFailure(error: unknown): boolean {
  return error instanceof KvciError ? !['bug', 'interrupted', 'terminated'].includes(error.reason) : isErrno(error);
}
