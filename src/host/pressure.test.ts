import { expect, it } from 'vitest';

import { parsePressure, pressureOfLoad } from './pressure.ts';

it.each([
  ['some avg10=1.00 avg60=42.50 avg300=3.00 total=1\nfull avg10=0.00 avg60=7.00 avg300=0.00 total=0\n', 0.425],
  ['some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n', 0],
  ['', 0],
])('what the kernel tells: %j', (text, share) => {
  expect(parsePressure(text)).toBeCloseTo(share);
});

it.each([
  [0.5, 2, 0],
  [2, 2, 0],
  [4, 2, 0.5],
  [8, 2, 0.75],
])('a load of %d on %d processors', (load, processors, share) => {
  expect(pressureOfLoad(load, processors)).toBe(share);
});
