import { describe, expect, it } from 'vitest';

import { gathered } from './streams.ts';

async function lengths(sizes: readonly number[], size: number): Promise<readonly number[]> {
  const chunks = (async function* () {
    for (const length of sizes) yield await Promise.resolve(Buffer.alloc(length, length));
  })();
  const found: number[] = [];
  const bytes: Uint8Array[] = [];
  for await (const chunk of gathered(chunks, size)) {
    found.push(chunk.byteLength);
    bytes.push(chunk);
  }
  expect(Buffer.concat(bytes).equals(Buffer.concat(sizes.map((length) => Buffer.alloc(length, length))))).toBe(true);
  return found;
}

describe('chunks that are gathered', () => {
  it.each<[string, readonly number[], readonly number[]]>([
    ['none', [], []],
    ['small ones come together', [1, 2, 3], [6]],
    ['up to a size', [4, 4, 4, 4, 4], [8, 8, 4]],
    ['large ones stay as they are', [10, 25], [10, 25]],
    ['and in their place', [1, 10, 2, 3, 12, 1], [1, 10, 5, 12, 1]],
  ])('%s', async (_what, sizes, expected) => {
    expect(await lengths(sizes, 10)).toEqual(expected);
  });
});
