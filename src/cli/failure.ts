import { cancelled, KvciError, messageOf } from '../core/errors.ts';

/** The format of errors has to be known even when the command line cannot be parsed. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  const words = end === -1 ? argv : argv.slice(0, end);
  return words.some((word, index) => word === '--output=json' || (word === '--output' && words[index + 1] === 'json'));
}

/** What is reported for any thrown value: a cancellation, the expected failure itself, or our bug with its stack. */
export function asReported(error: unknown, signal: AbortSignal): KvciError {
  if (signal.aborted) return cancelled(signal);
  if (error instanceof KvciError) return error;
  // Letting go of something failed after the work had: why the work failed is told.
  if (error instanceof SuppressedError) return asReported(error.suppressed, signal);
  return new KvciError('bug', 'internal-error', messageOf(error), {
    hint: 'This is a bug in kvci. Please report it with the lines above, the command you ran and what "kvci doctor --output json" prints.',
    cause: error,
  });
}
