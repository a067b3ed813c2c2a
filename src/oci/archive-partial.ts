import type { Readable } from 'node:stream';

import { type Digest, hexOf } from '../core/digest.ts';
import type { Tar, TarEntryWithContent } from '../host/tar.ts';
import { blobEntryPath, CONTAINERD_NAME, documentEntry, EMPTY_ENTRY } from './archive-save.ts';
import { openBlob } from './blobs.ts';
import { readImageAt } from './image.ts';
import type { ImageLayout } from './layout.ts';
import { REF_NAME } from './manifests.ts';
import { type Descriptor, MEDIA_TYPES } from './types.ts';

/** An image of one platform, and the name that its reader is to give it, in full. */
export interface NamedImage {
  readonly layout: Pick<ImageLayout, 'path'>;
  readonly descriptor: Descriptor;
  readonly name: string;
}

/** What of images a reader has to be sent: their layers but for those that it has, each once. Manifests and configs are always sent. */
export async function lackingBlobs(
  images: readonly NamedImage[],
  has: ReadonlySet<string>,
): Promise<readonly (Descriptor & { readonly layout: NamedImage['layout'] })[]> {
  const blobs = new Map<Digest, Descriptor & { readonly layout: NamedImage['layout'] }>();
  for (const { layout, descriptor } of images) {
    const { manifest } = await readImageAt(layout, descriptor);
    const layers = manifest.layers.filter(({ digest }) => !has.has(digest));
    for (const blob of [descriptor, manifest.config, ...layers]) blobs.set(blob.digest, { ...blob, layout });
  }
  return [...blobs.values()];
}

/**
 * Images as a tar of an OCI layout without the layers that its reader has: for `ctr images import`, and for skopeo once it is
 * unpacked. Blobs are checked on the way.
 *
 * @param has digests of blobs @throws KvciError `blob-missing`; the stream fails with `digest-mismatch`
 */
export function partialArchive(tar: Tar, images: readonly NamedImage[], has: ReadonlySet<string>): Readable {
  return tar.write(entries(images, has));
}

async function* entries(images: readonly NamedImage[], has: ReadonlySet<string>): AsyncGenerator<TarEntryWithContent> {
  yield documentEntry('oci-layout', { imageLayoutVersion: '1.0.0' });
  const manifests = images.map(({ descriptor: { mediaType, digest, size }, name }) => ({
    ...{ mediaType, digest, size },
    // skopeo finds an image in a layout by its own name there, in which "@" means something else.
    annotations: { [CONTAINERD_NAME]: name, [REF_NAME]: hexOf(digest) },
  }));
  yield documentEntry('index.json', { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests });
  for (const folder of ['blobs', 'blobs/sha256']) yield { ...EMPTY_ENTRY, path: folder, type: 'directory', mode: 0o755 };
  for (const { layout, ...blob } of await lackingBlobs(images, has)) {
    const stream = await openBlob(layout, blob);
    yield { ...EMPTY_ENTRY, path: blobEntryPath(blob), size: blob.size, content: () => stream };
  }
}
