import { readdirSync, readSync, truncateSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { scratchFolder, scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { blobPath, putBlob } from './blobs.ts';
import { writeLayer } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import { type SpooledTree, spoolTree } from './spool.ts';
import { readTree } from './tree.ts';
import type { Descriptor, TreeEntryWithContent } from './types.ts';

function contentOf({ tree, place }: SpooledTree, path: string): string | undefined {
  const node = tree.nodes.get(path);
  const at = node === undefined ? undefined : place(node);
  if (node === undefined || at === undefined) return undefined;
  const bytes = Buffer.alloc(node.size);
  readSync(at.file.fd, bytes, 0, node.size, at.offset);
  return bytes.toString();
}

async function layersOf(layout: ImageLayout, ...layers: readonly (readonly TreeEntryWithContent[])[]): Promise<Descriptor[]> {
  const written = [];
  for (const [index, entries] of layers.entries()) {
    const compression = (['zstd', 'gzip', 'none'] as const)[index % 3] ?? 'none';
    written.push((await writeLayer(layout, entries, { compression, mtime: 2_000_000_000 })).descriptor);
  }
  return written;
}

describe('a tree with all its contents at hand', () => {
  it('is the merged tree, whatever the layers are compressed with', async () => {
    const layout = await scratchLayout();
    const layers = await layersOf(
      layout,
      [treeEntry('a', 'below'), treeEntry('gone', 'x'), treeEntry('d/b', 'b'), treeEntry('d/c', '', { type: 'hardlink', linkname: 'd/b' })],
      [treeEntry('a', 'above'), treeEntry('.wh.gone')],
      [treeEntry('e', 'stored as it is'), treeEntry('empty')],
    );
    await using spooled = await spoolTree(layout, layers, scratchFolder());
    const { nodes } = await readTree(layout, layers);
    expect([...spooled.tree.nodes.values()]).toEqual([...nodes.values()].map(({ digest: _digest, ...node }) => node));
    expect(['a', 'd/b', 'd/c', 'e'].map((path) => contentOf(spooled, path))).toEqual(['above', 'b', 'b', 'stored as it is']);
    expect(['empty', 'd', 'gone'].map((path) => contentOf(spooled, path))).toEqual([undefined, undefined, undefined]);
  });

  it('is the same where somebody else unpacks', async () => {
    const layout = await scratchLayout();
    const layers = await layersOf(
      layout,
      [treeEntry('a', 'below'), treeEntry('d/b', 'b')],
      [treeEntry('a', 'above')],
      [treeEntry('c', 'c')],
    );
    const folder = scratchFolder();
    const calls: string[] = [];
    const unpack = async (from: string, to: string): Promise<void> => {
      calls.push(from);
      await writeFile(to, zstdDecompressSync(await readFile(from)));
    };
    await using spooled = await spoolTree(layout, layers, folder, unpack);
    await using alone = await spoolTree(layout, layers, scratchFolder());
    expect(spooled.tree).toEqual(alone.tree);
    expect(['a', 'd/b', 'c'].map((path) => contentOf(spooled, path))).toEqual(['above', 'b', 'c']);
    // Layers that are gzip or stored as they are need nobody.
    expect(calls).toEqual([blobPath(layout, layers[0]!.digest)]);
  });

  it('who unpacks fails after the digest', async () => {
    const layout = await scratchLayout();
    const [good] = await layersOf(layout, [treeEntry('a', 'a')]);
    const failing = (): Promise<void> => Promise.reject(new Error('no zstd'));
    await expect(spoolTree(layout, [good!], scratchFolder(), failing)).rejects.toThrow('no zstd');
    truncateSync(blobPath(layout, good!.digest), good!.size - 4);
    await expect(spoolTree(layout, [good!], scratchFolder(), failing)).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  it('a sparse file is spooled whole', async () => {
    const layout = await scratchLayout();
    // As GNU tar writes it, format 1.0: a map of one piece at 4, then the piece.
    const map = '1\n4\n4\n'.padEnd(512, '\0');
    const header = treeEntry('f', `${map}data`);
    const plain = await layout.tar.write([header]).toArray();
    const pax = (text: string): string => `${text.length + String(text.length + 3).length + 1} ${text}`;
    const records = ['GNU.sparse.major=1\n', 'GNU.sparse.minor=0\n', 'GNU.sparse.name=f\n', 'GNU.sparse.realsize=8\n'].map(pax).join('');
    const extended = Buffer.concat((await layout.tar.write([treeEntry('x', records)]).toArray()) as Buffer[]).subarray(0, 1024);
    // Of type "x", with the checksum that this takes.
    const difference = 'x'.charCodeAt(0) - '0'.charCodeAt(0);
    extended.write('x', 156);
    extended.write((Number.parseInt(extended.toString('latin1', 148, 154), 8) + difference).toString(8).padStart(6, '0'), 148);
    const blob = await putBlob(layout, Buffer.concat([extended, ...(plain as Buffer[])]));
    await using spooled = await spoolTree(layout, [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob }], scratchFolder());
    expect(spooled.tree.nodes.get('f')?.size).toBe(8);
    expect(contentOf(spooled, 'f')).toBe('\0\0\0\0data');
  });

  it('a layer that is cut off is refused', async () => {
    const layout = await scratchLayout();
    const layers = await layersOf(layout, [treeEntry('a', 'a'.repeat(1000))], [treeEntry('b', 'b'.repeat(1000))]);
    const [, cut] = layers;
    truncateSync(blobPath(layout, cut!.digest), cut!.size - 10);
    await expect(spoolTree(layout, layers, scratchFolder())).rejects.toMatchObject({ name: 'KvciError' });
  });

  it('a layer whose bytes are others is refused by its digest', async () => {
    const layout = await scratchLayout();
    const [good] = await layersOf(layout, [treeEntry('a', 'a')]);
    const [other] = await layersOf(layout, [treeEntry('b', 'b')]);
    const wrong = { ...good!, digest: other!.digest, size: other!.size + 1 };
    await expect(spoolTree(layout, [wrong], scratchFolder())).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  it('a layer that is not there is named', async () => {
    const layout = await scratchLayout();
    const [layer] = await layersOf(layout, [treeEntry('a', 'a')]);
    const folder = scratchFolder();
    const gone = { ...layer!, digest: `sha256:${'0'.repeat(64)}` as const };
    await expect(spoolTree(layout, [gone], folder)).rejects.toMatchObject({ code: 'blob-missing' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
