import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import type { Digest } from '../core/digest.ts';
import { digestOfBytes } from './chunks.ts';
import { packChunk, packPages, SharedPages, sourcesOf, Unpacker } from './packed.ts';
import { CHUNK } from './record.ts';

const PAGE = 4096;

/** Chunks as a store has them, packed one after the other. */
async function pack(chunks: readonly Buffer<ArrayBuffer>[]): Promise<{ digests: Digest[]; packed: Map<Digest, Buffer> }> {
  const shared = new SharedPages();
  const packed = new Map<Digest, Buffer>();
  const digests: Digest[] = [];
  for (const bytes of chunks) {
    const digest = await digestOfBytes(bytes);
    digests.push(digest);
    packed.set(digest, await packPages(shared.share(digest, bytes)));
  }
  return { digests, packed };
}

const unpackerOf = (packed: ReadonlyMap<Digest, Buffer>): Unpacker =>
  new Unpacker((digest) => {
    const found = packed.get(digest);
    return found === undefined ? Promise.reject(new Error(`no ${digest}`)) : Promise.resolve(found);
  });

/** A chunk of pages of two others, in another order, and some of its own. */
function mixture(a: Buffer, b: Buffer): Buffer<ArrayBuffer> {
  const pages = Array.from({ length: CHUNK / PAGE }, (_, index) => {
    const from = [a, b, randomBytes(CHUNK)][index % 3] ?? a;
    const at = ((index * 7) % (CHUNK / PAGE)) * PAGE;
    return from.subarray(at, at + PAGE);
  });
  return Buffer.concat(pages);
}

describe('packed chunks', () => {
  it('leave out what others before them have, and are as they were', async () => {
    const [a, b] = [randomBytes(CHUNK), randomBytes(CHUNK)];
    // The fourth has pages that the third borrows, and a last page that is short.
    const third = mixture(a, b);
    const chunks = [a, b, third, Buffer.concat([third.subarray(0, CHUNK / 2), Buffer.from('end')])];
    const { digests, packed } = await pack(chunks);
    const sizes = digests.map((digest) => packed.get(digest)?.length ?? 0);
    expect(sizes[2]).toBeLessThan(CHUNK / 2);
    expect(sizes[3]).toBeLessThan(10_000);
    expect(digests.map((digest) => sourcesOf(packed.get(digest) ?? Buffer.alloc(0)).length)).toEqual([0, 0, 2, 3]);
    const unpacker = unpackerOf(packed);
    for (const [index, digest] of digests.entries()) {
      expect((await unpacker.unpack(digest, packed.get(digest) ?? Buffer.alloc(0), 'x')).equals(chunks[index] ?? Buffer.alloc(0))).toBe(
        true,
      );
    }
  });

  it('lean on no zeros, and on no more others than are worth it', async () => {
    const many = Array.from({ length: 100 }, () => randomBytes(PAGE));
    const zeros = Buffer.alloc(PAGE);
    const all = Buffer.concat([zeros, ...many]);
    const { digests, packed } = await pack([Buffer.concat([zeros, zeros]), ...many, all]);
    const last = digests.at(-1) ?? 'sha256:';
    expect(sourcesOf(packed.get(last) ?? Buffer.alloc(0))).toHaveLength(64);
    expect((await unpackerOf(packed).unpack(last, packed.get(last) ?? Buffer.alloc(0), 'x')).equals(all)).toBe(true);
  });

  it('can be taken note of as they are packed', async () => {
    const bytes = randomBytes(CHUNK);
    const shared = new SharedPages();
    await shared.addPacked(await digestOfBytes(bytes), await packChunk(bytes));
    expect(shared.share('sha256:', Buffer.from(bytes)).some((page) => Buffer.isBuffer(page))).toBe(false);
  });

  it('that are damaged, or lean on what is not there or damaged, are told by name', async () => {
    const [a, b] = [randomBytes(CHUNK), randomBytes(CHUNK)];
    const { digests, packed } = await pack([a, b, mixture(a, b)]);
    const [first = 'sha256:', , last = 'sha256:'] = digests;
    const whole = packed.get(last) ?? Buffer.alloc(0);
    const refused = { code: 'snapshot-damaged', message: 'the chunk is damaged' };
    for (const wrong of [whole.subarray(0, 3), whole.subarray(0, 6), whole.subarray(0, 50), whole.subarray(0, -1), Buffer.alloc(0)]) {
      await expect(unpackerOf(packed).unpack(last, wrong, 'the chunk')).rejects.toMatchObject(refused);
    }
    for (const at of [0, 4, 8, 40, whole.length - 9]) {
      const wrong = Buffer.from(whole);
      wrong.writeUInt8((wrong.at(at) ?? 0) ^ 1, at);
      await expect(unpackerOf(packed).unpack(last, wrong, 'the chunk'), `byte ${at}`).rejects.toMatchObject(refused);
    }
    await expect(unpackerOf(new Map([[last, whole]])).unpack(last, whole, 'the chunk')).rejects.toMatchObject(refused);
    const swapped = new Map(packed).set(first, await packChunk(b));
    await expect(unpackerOf(swapped).unpack(last, whole, 'the chunk')).rejects.toMatchObject(refused);
  });
});
