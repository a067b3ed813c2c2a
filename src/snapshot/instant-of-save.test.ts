import { expect, it } from 'vitest';

import { untilAllDue, untilBetweenRenewals } from './instant-of-save.ts';

it.each<[string, number[], number]>([
  ['no node', [], 0],
  ['one that has just renewed', [0], 11_500],
  ['one that is about to', [-9_000], 2_500],
  ['one that is late', [-25_000], 0],
  ['the last of several', [-8_000, -1_000, -25_000], 10_500],
  ['one whose clock is ahead', [60_000], 11_500],
])('%s', (_what, renewed, wait) => {
  expect(untilAllDue(renewed, 0)).toBe(wait);
});

it.each<[string, number, number | undefined]>([
  ['just now', 0, 1_500],
  ['a second ago', -1_000, 500],
  ['a while ago', -4_000, 0],
  ['so long ago that it is about to', -7_501, undefined],
  ['so long ago that it does so no more', -11_501, 0],
  ['in what is the future here', 60_000, 1_500],
])('a kubelet that has renewed its lease %s', (_what, renewed, wait) => {
  expect(untilBetweenRenewals(renewed, 0)).toBe(wait);
});
