import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { asDiskFull } from '../host/files.ts';
import { blobPath } from './blobs.ts';
import { compressionOf } from './compression.ts';
import { openLayer } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import { drain } from './streams.ts';
import { type LayerEntry, mergeLayers, type Tree, type TreeNode } from './tree.ts';
import type { Descriptor } from './types.ts';

/** Where the content of a file lies. */
export interface Place {
  readonly file: FileHandle;
  readonly offset: number;
}

/** The merged tree of an image with all contents at hand, in any order, until disposed. Nodes have no digests. */
export interface SpooledTree extends AsyncDisposable {
  readonly tree: Tree;
  /** Undefined for what is no file, and for an empty one. */
  readonly place: (node: TreeNode) => Place | undefined;
}

interface SpooledLayer extends AsyncDisposable {
  readonly descriptor: Descriptor;
  readonly entries: readonly LayerEntry[];
  readonly tar: FileHandle;
  /** Files that the tar does not hold as they are, by their place among its entries. */
  readonly sparse: ReadonlyMap<LayerEntry, FileHandle>;
}

/**
 * Reads all layers at once into uncompressed tars below `folder`, which is the caller's to remove. Digests of blobs are checked,
 * contents are not hashed: twice as fast as `readTree` for who wants more of the contents than their digests.
 *
 * @throws as `readTree`, and KvciError `disk-full`
 */
export async function spoolTree(layout: ImageLayout, layers: readonly Descriptor[], folder: string): Promise<SpooledTree> {
  const spooling = layers.map((descriptor, index) => spoolLayer(layout, descriptor, join(folder, `${index}.tar`)));
  const settled = await Promise.allSettled(spooling);
  const spooled = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const dispose = async (): Promise<void> => {
    for (const layer of spooled) await layer[Symbol.asyncDispose]();
  };
  try {
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw asDiskFull(failed.reason, folder);
    return { ...treeOf(spooled), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function treeOf(layers: readonly SpooledLayer[]): Pick<SpooledTree, 'tree' | 'place'> {
  // A path may stand in a layer more than once: the last one counts, as for who unpacks it.
  const sparse = layers.map((layer) => new Map([...layer.sparse].map(([{ path }, file]) => [path, file])));
  return {
    tree: mergeLayers(layers),
    place: ({ type, size, source }) => {
      if (type !== 'file' || size === 0 || source === undefined) return undefined;
      const file = source.offset === undefined ? sparse[source.layer]?.get(source.path) : layers[source.layer]?.tar;
      return file === undefined ? undefined : { file, offset: source.offset ?? 0 };
    },
  };
}

async function spoolLayer(layout: ImageLayout, descriptor: Descriptor, path: string): Promise<SpooledLayer> {
  const opened: FileHandle[] = [];
  const file = async (name: string, flags: string): Promise<FileHandle> => {
    const handle = await open(name, flags);
    opened.push(handle);
    return handle;
  };
  const dispose = async (): Promise<void> => {
    for (const handle of opened) await handle.close();
  };
  try {
    const chunks = await openLayer(layout, descriptor);
    const stored = await isPlain(layout, descriptor);
    const tar = stored ? await file(blobPath(layout, descriptor.digest), 'r') : await file(path, 'wx+');
    const entries: LayerEntry[] = [];
    const sparse = new Map<LayerEntry, FileHandle>();
    for await (const { content, ...entry } of layout.tar.read(stored ? chunks : Readable.from(kept(chunks, tar), { objectMode: false }))) {
      entries.push(entry);
      if (entry.type !== 'file' || entry.size === 0 || entry.offset !== undefined) continue;
      const whole = await file(`${path}.${entries.length}`, 'wx+');
      sparse.set(entry, whole);
      await drain(kept(content(), whole));
    }
    return { descriptor, entries, tar, sparse, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The chunks as they come, each written to a file before. */
async function* kept(chunks: AsyncIterable<Uint8Array>, file: FileHandle): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) at += (await file.write(chunk, at)).bytesWritten;
    yield chunk;
  }
}

async function isPlain(layout: Pick<ImageLayout, 'path'>, { digest }: Descriptor): Promise<boolean> {
  const file = await open(blobPath(layout, digest), 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return compressionOf(buffer) === 'none';
  } finally {
    await file.close();
  }
}
