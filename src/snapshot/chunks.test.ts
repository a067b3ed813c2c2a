import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { chunksWithData, digestChunks } from './chunks.ts';
import { CHUNK } from './record.ts';

const NEVER = new AbortController().signal;
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-chunks-'));
  path = join(folder, 'memory');
});

afterEach(() => rm(folder, { recursive: true }));

async function write(size: number, ...pieces: readonly (readonly [at: number, text: string])[]): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(size);
  for (const [at, text] of pieces) await file.write(text, at);
}

describe('chunks of a file', () => {
  it.each([
    [[], []],
    [[[0, 1]], [0]],
    [[[CHUNK - 1, 2]], [0, 1]],
    [[[CHUNK, CHUNK]], [1]],
    [[[3 * CHUNK, CHUNK]], []],
    [
      [
        [0, 10],
        [2 * CHUNK + 5, 1],
      ],
      [0, 2],
    ],
  ] as const)('that hold data: %j', (extents, expected) => {
    expect([...chunksWithData(2 * CHUNK + 100, extents)]).toEqual(expected);
  });

  it('have a digest each, none where they are zeros, the last of what there is', async () => {
    await write(2 * CHUNK + 3, [5, 'x'], [2 * CHUNK, 'end']);
    const first = Buffer.alloc(CHUNK);
    first.write('x', 5);
    const expected = [sha256(first), null, sha256('end')];
    expect(await digestChunks(path, 2 * CHUNK + 3, undefined, NEVER)).toEqual(expected);
    expect(
      await digestChunks(
        path,
        2 * CHUNK + 3,
        [
          [0, 4096],
          [2 * CHUNK, 3],
        ],
        NEVER,
      ),
    ).toEqual(expected);
  });

  it('are not read any more by who is cancelled', async () => {
    await write(CHUNK, [0, 'x']);
    await expect(digestChunks(path, CHUNK, undefined, AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
  });
});
