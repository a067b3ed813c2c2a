import { expect, test } from 'vitest';

import { formatSize, parseSize } from './sizes.ts';

test.each([
  ['4096', 4096],
  ['0', 0],
  ['10G', 10e9],
  ['512MiB', 512 * 2 ** 20],
  [' 1.5 GB ', 1.5e9],
  ['4gi', 4 * 2 ** 30],
  ['100b', 100],
  ['2 kB', 2000],
  ['1T', 1e12],
])('%j is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['', 'G', '-1G', '1.G', '1e9', '10 X', '1PB', '99999999999T', '1,5G', 'NaN'])('%j is no size', (text) => {
  expect(() => parseSize(text)).toThrow(`"${text}" is not a size`);
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.00 kB'],
  [999_499, '999 kB'],
  [999_600, '1.00 MB'],
  [1.234e9, '1.23 GB'],
  [73.4e9, '73.4 GB'],
  [5e15, '5.00 PB'],
  [-1500, '-1.50 kB'],
])('%d is shown as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
