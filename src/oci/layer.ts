import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';

import { KvciError } from '../core/errors.ts';
import type { Tar, TarReadEntry } from '../host/tar.ts';
import { openBlob, putBlob, Tally } from './blobs.ts';
import { compress, type Compression, decompress, LAYER_MEDIA_TYPES } from './compression.ts';
import type { ImageLayout } from './layout.ts';
import { drain, rechunk } from './streams.ts';
import type { Descriptor, Layer, TreeEntry, TreeEntryWithContent } from './types.ts';

export interface LayerOptions {
  readonly compression: Compression;
  /** zstd 1 to 19 (9 by default), gzip 1 to 9 (6). */
  readonly level?: number;
  /** Seconds since the epoch; later times become this one. */
  readonly mtime: number;
  /** Entries of the descriptor's `annotations`. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Writes a layer in canonical form: entries sorted by path, which puts parents before children, times clamped, no user or group
 * names. Equal entries give the same blob. Contents are opened one after the other, in that order.
 *
 * @throws KvciError `layer-duplicate-path`; what a content fails with
 */
export async function writeLayer(layout: ImageLayout, entries: Iterable<TreeEntryWithContent>, options: LayerOptions): Promise<Layer> {
  const plain = new Tally();
  const tar = Readable.from(plain.pass(rechunk(layout.tar.write(canonical(entries, options.mtime)))), { objectMode: false });
  const { digest, size } = await putBlob(layout, compress(tar, options.compression, options.level));
  const mediaType = LAYER_MEDIA_TYPES[options.compression];
  const annotations = options.annotations === undefined ? {} : { annotations: options.annotations };
  return { descriptor: { mediaType, digest, size, ...annotations }, diffId: plain.result().digest };
}

/** The entries sorted, their times clamped; hard links behind their targets. */
function canonical(entries: Iterable<TreeEntryWithContent>, mtime: number): TreeEntryWithContent[] {
  const sorted = [...entries].toSorted(byPath);
  sorted.forEach((entry, index) => {
    if (sorted[index + 1]?.path === entry.path)
      throw new KvciError('bug', 'layer-duplicate-path', `a layer would hold ${JSON.stringify(entry.path)} twice`);
  });
  const clamped = sorted.map((entry) => ({ ...entry, mtime: Math.min(entry.mtime, mtime) }));
  // A link may sort before its target, or its target may be in a lower layer: links stand last, whatever they point to.
  return [...clamped.filter(({ type }) => type !== 'hardlink'), ...clamped.filter(({ type }) => type === 'hardlink')];
}

export function byPath(a: Pick<TreeEntry, 'path'>, b: Pick<TreeEntry, 'path'>): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}

/**
 * The entries of a layer in the order they stand in it, whiteouts included as files. Gzip, zstd and uncompressed layers are told
 * apart by their first bytes. The blob's digest is checked when the last entry has been read.
 *
 * @throws KvciError `blob-missing`, `digest-mismatch`, `layer-damaged`, `tar-damaged`, `tar-unsupported`
 */
export async function* readLayer(layout: ImageLayout, descriptor: Descriptor): AsyncGenerator<TarReadEntry> {
  yield* layout.tar.read(await openLayer(layout, descriptor));
}

/** The uncompressed tar of a layer. */
export async function openLayer(layout: Pick<ImageLayout, 'path'>, descriptor: Descriptor): Promise<Readable> {
  return decompress(await openBlob(layout, descriptor));
}

/** A layer blob that is there already, as a layer: reads it once to learn its diff id. @throws as {@link readLayer} */
export async function describeLayer(layout: Pick<ImageLayout, 'path'>, descriptor: Descriptor): Promise<Layer> {
  const tally = new Tally();
  await drain(tally.pass(await openLayer(layout, descriptor)));
  return { descriptor, diffId: tally.result().digest };
}

/**
 * The entries of an uncompressed tar file, in its order, with contents that can be opened at any time and in any order: what
 * {@link writeLayer} needs of a tar that some tool wrote. The file must stay until then.
 *
 * @throws KvciError `tar-damaged`, `tar-unsupported` (also for sparse files)
 */
export async function indexTar(tar: Tar, path: string): Promise<TreeEntryWithContent[]> {
  const entries: TreeEntryWithContent[] = [];
  for await (const entry of tar.read(createReadStream(path, { highWaterMark: 256 * 1024 })))
    entries.push({ ...entry, content: () => openSlice(path, entry.offset, entry) });
  return entries;
}

/** Some bytes of a file as a stream. */
export function openSlice(path: string, offset: number | undefined, entry: Pick<TreeEntry, 'path' | 'size'>): Readable {
  if (entry.size === 0) return Readable.from([]);
  if (offset === undefined) throw new KvciError('failed', 'tar-unsupported', `${JSON.stringify(entry.path)} is stored as a sparse file`);
  return createReadStream(path, { start: offset, end: offset + entry.size - 1 });
}
