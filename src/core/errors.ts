/**
 * Exit codes, stable for scripts. A remote command passes its own code through instead.
 */
export const EXIT_CODES = {
  done: 0,
  failed: 1,
  usage: 2,
  hostNotReady: 3,
  timedOut: 4,
  notFoundOrExists: 5,
  bug: 70,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitReason = Exclude<keyof typeof EXIT_CODES, 'done'>;

export interface ErrorDetails {
  /** What to do next: a sentence or a pasteable command. */
  readonly hint?: string;
  /** Facts for scripts: stable keys, JSON values only. */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * A failure that kvci expects and can explain. Everything else that reaches main.ts is our bug (exit 70).
 *
 * `code` is kebab-case and stable: scripts match on it.
 */
export class KvciError extends Error {
  override readonly name = 'KvciError';
  readonly code: string;
  readonly reason: ExitReason;
  readonly hint: string | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(reason: ExitReason, code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.code = code;
    this.hint = details.hint;
    this.facts = details.facts ?? {};
  }

  get exitCode(): number {
    return EXIT_CODES[this.reason];
  }
}

/** Several problems found at once, each an error of its own; the exit code is that of the first. */
export class ProblemsError extends KvciError {
  readonly problems: readonly KvciError[];

  constructor(code: string, message: string, problems: readonly [KvciError, ...KvciError[]], details: ErrorDetails = {}) {
    super(problems[0].reason, code, message, details);
    this.problems = problems;
  }
}

/** The command was cancelled by a signal; `main.ts` maps it to 130 or 143. */
export function cancelled(signal: AbortSignal): KvciError {
  if (signal.reason instanceof KvciError) return signal.reason;
  return new KvciError('interrupted', 'cancelled', 'cancelled', { cause: signal.reason });
}

/** @throws KvciError as {@link cancelled} when the signal has aborted */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled(signal);
}

/** One line of text for any thrown value, without a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True for an error of the system's: one of node's own with its number. */
export function isErrno(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number';
}

/** True for an error of node's own (`ENOENT`, `EEXIST`...) with one of these codes. */
export function hasErrno(error: unknown, ...codes: readonly string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
