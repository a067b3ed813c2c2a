import { expect, it } from 'vitest';

import { pressureOfLoad, waitedMs } from './pressure.ts';

it.each([
  ['some avg10=1.00 avg60=42.50 avg300=3.00 total=81234567\nfull avg10=0.00 avg60=7.00 avg300=0.00 total=5\n', 81_234.567],
  ['some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n', 0],
  ['', 0],
])('what the kernel tells: %j', (text, ms) => {
  expect(waitedMs(text)).toBeCloseTo(ms);
});

it.each([
  [0.5, 2, 0],
  [2, 2, 0],
  [4, 2, 0.5],
  [8, 2, 0.75],
])('a load of %d on %d processors', (load, processors, share) => {
  expect(pressureOfLoad(load, processors)).toBe(share);
});
