import { Readable } from 'node:stream';

import { hexOf } from '../core/digest.ts';
import type { TarEntryWithContent } from '../host/tar.ts';
import { openBlob, putBlob } from './blobs.ts';
import { compress, type Compression, LAYER_MEDIA_TYPES } from './compression.ts';
import { copyImage } from './copy.ts';
import { type Image, readImageAt } from './image.ts';
import { openLayer } from './layer.ts';
import { type ImageLayout, scratchLayout } from './layout.ts';
import { putManifest, REF_NAME } from './manifests.ts';
import { type Descriptor, MEDIA_TYPES } from './types.ts';

export interface SaveOptions {
  /** Names under which an engine shows the image, in full: `localhost/node:1.31`. */
  readonly refs: readonly string[];
  /** `as-is` keeps the layers and so the digest; Docker before 23 reads no zstd, so what it is to load is `gzip` or `none`. */
  readonly layers: 'as-is' | Compression;
}

/** The annotation by which containerd and Podman name an image of an archive. */
export const CONTAINERD_NAME = 'io.containerd.image.name';

/**
 * An image as a tar that `docker load`, `podman load`, `ctr image import` and `skopeo copy oci-archive:` read: an OCI layout with
 * Docker's `manifest.json` beside its `index.json`. Equal images give equal bytes.
 */
export function saveArchive(layout: ImageLayout, image: Descriptor, options: SaveOptions): Readable {
  return layout.tar.write(archiveEntries(layout, image, options));
}

async function* archiveEntries(layout: ImageLayout, descriptor: Descriptor, options: SaveOptions): AsyncGenerator<TarEntryWithContent> {
  const scratch = await scratchLayout(layout);
  try {
    const original = await readImageAt(layout, descriptor);
    const image = options.layers === 'as-is' ? original : await convertImage(layout, scratch, original, options.layers);
    if (image === original) await copyImage(layout, scratch, original.descriptor);
    const { manifest } = image;
    const blobs = new Map([image.descriptor, manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob]));
    for (const folder of ['blobs', 'blobs/sha256']) yield { ...EMPTY_ENTRY, path: folder, type: 'directory', mode: 0o755 };
    for (const blob of [...blobs.values()].toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
      const stream = await openBlob(scratch, blob);
      yield { ...EMPTY_ENTRY, path: blobEntryPath(blob), size: blob.size, content: () => stream };
    }
    const names = options.refs.map((ref) => ({ ...image.descriptor, annotations: { [CONTAINERD_NAME]: ref, [REF_NAME]: ref } }));
    const manifests = names.length === 0 ? [image.descriptor] : names;
    yield documentEntry('index.json', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests });
    yield documentEntry('manifest.json', [
      {
        Config: blobEntryPath(manifest.config),
        RepoTags: options.refs.filter((ref) => !ref.includes('@')),
        Layers: manifest.layers.map(blobEntryPath),
      },
    ]);
    yield documentEntry('oci-layout', { imageLayoutVersion: '1.0.0' });
  } finally {
    await scratch[Symbol.asyncDispose]();
  }
}

/** An empty file of an archive, to be made into what is wanted. */
export const EMPTY_ENTRY: TarEntryWithContent = {
  path: '.',
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: 0,
  size: 0,
  xattrs: {},
  content: () => Readable.from([]),
};

/** Where a layout, and an archive of one, has a blob. */
export function blobEntryPath({ digest }: Pick<Descriptor, 'digest'>): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** A JSON document of an archive. */
export function documentEntry(path: string, value: unknown): TarEntryWithContent {
  const bytes = Buffer.from(JSON.stringify(value));
  return { ...EMPTY_ENTRY, path, size: bytes.length, content: () => Readable.from([bytes]) };
}

/** The image with its layers compressed another way, written to `to`. Its config, and so Docker's image id, stays. */
async function convertImage(from: ImageLayout, to: ImageLayout, image: Image, compression: Compression): Promise<Image> {
  const layers: Descriptor[] = [];
  for (const layer of image.manifest.layers) {
    const written = await putBlob(to, compress(await openLayer(from, layer), compression));
    layers.push({ mediaType: LAYER_MEDIA_TYPES[compression], ...written });
  }
  await putBlob(to, await openBlob(from, image.manifest.config));
  const manifest = {
    ...image.manifest,
    mediaType: MEDIA_TYPES.manifest,
    config: { ...image.manifest.config, mediaType: MEDIA_TYPES.config },
    layers,
  };
  return { ...image, manifest, descriptor: await putManifest(to, manifest) };
}
