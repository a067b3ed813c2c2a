import { expect, it } from 'vitest';

import { untilBestInstant } from './instant-of-save.ts';

it.each<[string, number[], number]>([
  ['no node', [], 0],
  ['one that has just renewed', [0], 7_500],
  ['one that is about to', [-9_000], 8_500],
  ['one that renews in 2.5 seconds', [-7_500], 0],
  ['one that is late', [-25_000], 2_500],
  ['two at once', [-1_000, -1_000], 6_500],
  // The first renews at 7 s, the second at 9 s: before the first, both have done it 4.5 s later.
  ['two shortly after each other', [-3_000, -1_000], 4_500],
  // 9 s and 12 s: the second of a round that begins with the first.
  ['two over the end of a round', [-1_000, -8_000], 6_500],
])('%s', (_what, renewed, wait) => {
  expect(untilBestInstant(renewed, 0)).toBe(wait);
});
