import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { allOf } from '../core/all-of.ts';
import { asDiskFull } from '../host/files.ts';
import { indexTar } from '../host/tar-index.ts';
import { blobPath, hasBlob, openBlob } from './blobs.ts';
import { type Compression, compressionOf } from './compression.ts';
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

/** Unpacks a zstd file into one that is not there yet, beside this process. */
export type Unpack = (from: string, to: string) => Promise<void>;

/**
 * Reads all layers at once into uncompressed tars below `folder`, which is the caller's to remove. Digests of blobs are checked,
 * contents are not hashed: for who wants more of the contents than their digests.
 *
 * @param unpack where there is one, layers of zstd are unpacked by it and only their headers are read here
 * @throws as `readTree`, and KvciError `disk-full`
 */
export async function spoolTree(layout: ImageLayout, layers: readonly Descriptor[], folder: string, unpack?: Unpack): Promise<SpooledTree> {
  const spooling = layers.map((descriptor, index) => spoolLayer(layout, descriptor, join(folder, `${index}.tar`), unpack));
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

async function spoolLayer(layout: ImageLayout, descriptor: Descriptor, path: string, unpack?: Unpack): Promise<SpooledLayer> {
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
    const stored = await blobCompression(layout, descriptor);
    const plain = stored === 'none' || (stored === 'zstd' && unpack !== undefined);
    if (plain) await unpacked(layout, descriptor, stored === 'none' ? undefined : unpack, path);
    const tar = await file(stored === 'none' ? blobPath(layout, descriptor.digest) : path, plain ? 'r' : 'wx+');
    const indexed = plain ? indexTar(tar.fd) : undefined;
    if (indexed !== undefined) return { descriptor, entries: indexed, tar, sparse: new Map(), [Symbol.asyncDispose]: dispose };
    const chunks = plain ? tar.createReadStream({ start: 0, autoClose: false }) : kept(await openLayer(layout, descriptor), tar);
    const entries: LayerEntry[] = [];
    const sparse = new Map<LayerEntry, FileHandle>();
    for await (const { content, ...entry } of layout.tar.read(Readable.from(chunks, { objectMode: false }))) {
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

/** Checks a blob and has it unpacked meanwhile. That it is another than its digest says explains what it did to who unpacks it. */
async function unpacked(layout: ImageLayout, descriptor: Descriptor, unpack: Unpack | undefined, path: string): Promise<void> {
  const checked = drain(await openBlob(layout, descriptor));
  await allOf([checked, unpack?.(blobPath(layout, descriptor.digest), path) ?? Promise.resolve()]);
}

/** The chunks as they come, each written to a file before. */
async function* kept(chunks: AsyncIterable<Uint8Array>, file: FileHandle): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) at += (await file.write(chunk, at)).bytesWritten;
    yield chunk;
  }
}

/** @throws KvciError `blob-missing` */
async function blobCompression(layout: Pick<ImageLayout, 'path'>, descriptor: Descriptor): Promise<Compression> {
  if (!(await hasBlob(layout, { digest: descriptor.digest }))) await openBlob(layout, descriptor);
  await using file = await open(blobPath(layout, descriptor.digest), 'r');
  return compressionOf((await file.read(Buffer.alloc(4), 0, 4, 0)).buffer);
}
