import { expect, it } from 'vitest';

import { memoryAvailable, parseMemoryAvailable } from './memory.ts';

it('reads what is available, in bytes', () => {
  expect(parseMemoryAvailable('MemTotal:       24611532 kB\nMemFree:          123 kB\nMemAvailable:   23000000 kB\n')).toBe(23_552_000_000);
});

it('reads that of this host', async () => {
  expect(await memoryAvailable()).toBeGreaterThan(1e6);
});
