import { expect, it } from 'vitest';

import { rootSizeMib, smallestDisk } from './sizes.ts';

const GIB = 2 ** 30;

it('the root file system gets what the other partitions leave', () => {
  expect(rootSizeMib(10 * GIB, 'amd64')).toBe(10 * 1024 - 1024 - 501 - 1 - 2);
  expect(rootSizeMib(10 * GIB, 'arm64')).toBe(10 * 1024 - 1024 - 501 - 2);
  expect(rootSizeMib(1 * GIB, 'amd64')).toBeLessThan(0);
});

it('an image fits on the smallest disk, and not on a smaller one', () => {
  const unpacked = 1.7 * GIB;
  const least = smallestDisk(unpacked, 'amd64');
  expect(rootSizeMib(least, 'amd64') * 2 ** 20).toBeGreaterThanOrEqual(unpacked * 1.1);
  expect(rootSizeMib(least - 2 ** 20, 'amd64') * 2 ** 20).toBeLessThan(unpacked * 1.1);
});
