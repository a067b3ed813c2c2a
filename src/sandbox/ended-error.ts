import { KvciError } from '../core/errors.ts';

export function endedError(name: string): KvciError {
  return new KvciError('failed', 'sandbox-ended', `the sandbox "${name}" has ended`, {
    hint: 'Its first process was killed, by hand or for lack of memory; run the command again.',
  });
}
