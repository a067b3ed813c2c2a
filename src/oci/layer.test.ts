import { readFileSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { scratchFolder, scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { sha256 } from '../core/digest.ts';
import { blobPath, putBlob } from './blobs.ts';
import { compress, type Compression, decompress } from './compression.ts';
import { drain } from './streams.ts';
import { describeLayer, indexTar, openLayer, readLayer, writeLayer } from './layer.ts';

const MTIME = 1_500_000_000;

describe('writeLayer', () => {
  it.each(['zstd', 'gzip', 'none'] as const)('gives the same blob whatever the order of the entries (%s)', async (compression) => {
    const layout = await scratchLayout();
    const entries = (): ReturnType<typeof treeEntry>[] => [
      treeEntry('b/c', 'content', { xattrs: { 'user.z': '1', 'user.a': '2' }, mtime: 1_600_000_000 }),
      treeEntry('a', '', { type: 'hardlink', linkname: 'b/c' }),
      treeEntry('b/'),
      treeEntry('b-', 'x'.repeat(200_000)),
      treeEntry('.wh.gone'),
    ];
    const layer = await writeLayer(layout, entries(), { compression, mtime: MTIME });
    expect(await writeLayer(layout, entries().toReversed(), { compression, mtime: MTIME })).toEqual(layer);
    expect(layer.diffId).toBe(sha256(await buffer(await openLayer(layout, layer.descriptor))));
    expect((await describeLayer(layout, layer.descriptor)).diffId).toBe(layer.diffId);
    const read = [];
    for await (const entry of readLayer(layout, layer.descriptor)) read.push([entry.path, entry.mtime, Object.keys(entry.xattrs)]);
    expect(read).toEqual([
      ['.wh.gone', 1_000_000_000, []],
      ['b', 1_000_000_000, []],
      ['b-', 1_000_000_000, []],
      ['b/c', MTIME, ['user.a', 'user.z']],
      ['a', 1_000_000_000, []],
    ]);
  });

  it('refuses a path twice', async () => {
    const layout = await scratchLayout();
    await expect(writeLayer(layout, [treeEntry('a'), treeEntry('a')], { compression: 'none', mtime: MTIME })).rejects.toMatchObject({
      code: 'layer-duplicate-path',
    });
  });

  it('fails with what a content fails with and leaves nothing', async () => {
    const layout = await scratchLayout();
    const broken = treeEntry('a', 'abc', { size: 4 });
    for (const compression of ['zstd', 'gzip', 'none'] as const)
      await expect(writeLayer(layout, [broken], { compression, mtime: MTIME })).rejects.toMatchObject({ code: 'tar-size-differs' });
  });
});

describe('readLayer', () => {
  it.each(['zstd', 'gzip', 'none'] as const)('tells a blob that was changed on disk (%s)', async (compression) => {
    const layout = await scratchLayout();
    const { descriptor } = await writeLayer(layout, [treeEntry('a', 'content'), treeEntry('b', 'more')], { compression, mtime: MTIME });
    const path = blobPath(layout, descriptor.digest);
    const other = await writeLayer(layout, [treeEntry('a', 'CONTENT'), treeEntry('b', 'more')], { compression, mtime: MTIME });
    writeFileSync(path, readFileSync(blobPath(layout, other.descriptor.digest)));
    await expect(drain(readLayer(layout, descriptor))).rejects.toMatchObject({ code: 'digest-mismatch' });
  });
});

describe('decompress', () => {
  const plain = Buffer.from('0123456789'.repeat(50_000));
  const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from('abc')]);
  const unknownSize = async (bytes: Buffer): Promise<Buffer> => buffer(compress(Readable.from([bytes]), 'zstd', 3));

  it('reads every frame of a zstd stream, skippable ones and run-length blocks too', async () => {
    const stream = Buffer.concat([
      skippable,
      zstdCompressSync(plain),
      await unknownSize(plain),
      zstdCompressSync(Buffer.alloc(0)),
      zstdCompressSync(Buffer.alloc(400_000, 'x')),
      skippable,
    ]);
    const expected = Buffer.concat([plain, plain, Buffer.alloc(400_000, 'x')]);
    expect((await buffer(decompress(Readable.from([stream])))).equals(expected)).toBe(true);
    const bytewise = Readable.from(Array.from(stream, (byte) => Buffer.from([byte])));
    expect((await buffer(decompress(bytewise))).equals(expected)).toBe(true);
  });

  it('reads every member of a gzip stream, and plain bytes, even few', async () => {
    expect(await text(decompress(Readable.from([Buffer.concat([gzipSync('one '), gzipSync('two')])])))).toBe('one two');
    expect(await text(decompress(Readable.from([Buffer.from('ab')])))).toBe('ab');
    expect(await text(decompress(Readable.from([])))).toBe('');
  });

  it.each(['zstd', 'gzip'] as const)('tells compressed data that ends early or is damaged (%s)', async (compression: Compression) => {
    const stream = await buffer(compress(Readable.from([plain]), compression));
    for (const length of [6, stream.length >> 1, stream.length - 1])
      await expect(buffer(decompress(Readable.from([stream.subarray(0, length)]))), `cut at ${length}`).rejects.toMatchObject({
        code: 'layer-damaged',
      });
    const damaged = Buffer.from(stream);
    damaged[stream.length - 6] = (damaged[stream.length - 6] ?? 0) ^ 0xff;
    await expect(buffer(decompress(Readable.from([damaged])))).rejects.toMatchObject({ code: 'layer-damaged' });
  });
});

describe('indexTar', () => {
  it('opens contents in any order', async () => {
    const layout = await scratchLayout();
    const file = `${scratchFolder()}/plain.tar`;
    writeFileSync(file, await buffer(layout.tar.write([treeEntry('z', 'last'), treeEntry('a', 'first'), treeEntry('d/')])));
    const entries = await indexTar(layout.tar, file);
    expect(entries.map(({ path }) => path)).toEqual(['z', 'a', 'd']);
    expect(await text(entries[1]!.content())).toBe('first');
    expect(await text(entries[0]!.content())).toBe('last');
  });
});

describe('putBlob', () => {
  it('refuses other bytes than expected', async () => {
    const layout = await scratchLayout();
    await expect(putBlob(layout, Buffer.from('a'), { digest: sha256('b') })).rejects.toMatchObject({ code: 'digest-mismatch' });
    await expect(putBlob(layout, Buffer.from('a'), { digest: sha256('a'), size: 2 })).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect(await putBlob(layout, Buffer.from('a'), { digest: sha256('a'), size: 1 })).toEqual({ digest: sha256('a'), size: 1 });
  });
});
