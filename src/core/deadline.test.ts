import { expect, it } from 'vitest';

import { systemClock } from '../host/clock.ts';
import { deadline } from './deadline.ts';
import { KvciError } from './errors.ts';

const late = (): KvciError => new KvciError('timedOut', 'late', 'too late');
const NEVER = new AbortController().signal;

it('aborts with its error when time is up', async () => {
  using limit = deadline(systemClock, 1, NEVER, late);
  await new Promise((resolve) => {
    limit.signal.addEventListener('abort', resolve);
  });
  expect(limit.signal.reason).toMatchObject({ code: 'late' });
});

it('aborts with the reason of the signal above it', () => {
  const above = new AbortController();
  using limit = deadline(systemClock, 60_000, above.signal, late);
  above.abort('why');
  expect(limit.signal.reason).toBe('why');
});
