import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { z } from 'zod';

import { type Digest, isDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { CONTAINERD_NAME } from './archive-save.ts';
import { hasBlob, openBlob, putBlob, readBlob } from './blobs.ts';
import { compressionOf, decompress, LAYER_MEDIA_TYPES } from './compression.ts';
import { copyImage, reachableBlobs } from './copy.ts';
import { layersOf, readImageAt } from './image.ts';
import { describeLayer } from './layer.ts';
import { type ImageLayout, scratchLayout } from './layout.ts';
import { putManifest, REF_NAME } from './manifests.ts';
import { isIndex, parse, parseConfig, parseIndex } from './schemas.ts';
import { type Descriptor, MEDIA_TYPES } from './types.ts';

export interface LoadedImage {
  readonly descriptor: Descriptor;
  /** The names it has in the archive. */
  readonly refs: readonly string[];
  /** Of the indexes that it stands in: a name with one of these digests is its name, too. */
  readonly indexes: readonly Digest[];
}

type Blob = Pick<Descriptor, 'digest' | 'size'>;

/** Files of an archive by path; links have their target's blob. */
type ArchiveFiles = ReadonlyMap<string, Blob>;

const dockerManifest = z.array(
  z.looseObject({
    Config: z.string(),
    RepoTags: z
      .array(z.string())
      .nullish()
      .transform((tags) => tags ?? []),
    Layers: z
      .array(z.string())
      .nullish()
      .transform((layers) => layers ?? []),
  }),
);

/**
 * Reads the images of an archive into a layout and enters them under their names: an oci-archive or a docker-archive, also
 * compressed, as `docker save`, `podman save` and skopeo write them. Every digest is checked, the layers' contents too, before
 * anything of it can be seen; an archive that is refused leaves nothing.
 *
 * @throws KvciError `archive-incomplete`, `not-an-archive`, `digest-mismatch`, `tar-damaged`, `layer-damaged`, `oci-malformed`
 */
export async function loadArchive(
  layout: ImageLayout,
  archive: Readable,
  options: { readonly tag?: boolean } = {},
): Promise<readonly LoadedImage[]> {
  const scratch = await scratchLayout(layout);
  try {
    const files = await unpack(scratch, archive);
    const images = await imagesOf(scratch, files);
    for (const { descriptor } of images) await verifyImage(scratch, descriptor);
    for (const { descriptor, refs } of images) await copyImage(scratch, layout, descriptor, options.tag === false ? [] : refs);
    return images;
  } catch (error) {
    if (error instanceof KvciError && error.code === 'blob-missing') {
      throw new KvciError('failed', 'archive-incomplete', `the archive lacks parts of its image: ${error.message}`, {
        hint: 'It may have been cut off on its way; get it again.',
        cause: error,
      });
    }
    throw error;
  } finally {
    await scratch[Symbol.asyncDispose]();
  }
}

async function unpack(scratch: ImageLayout, archive: Readable): Promise<ArchiveFiles> {
  const files = new Map<string, Blob>();
  const links: { readonly path: string; readonly target: string }[] = [];
  let last: Digest | undefined;
  try {
    for await (const { path, type, linkname, content } of scratch.tar.read(decompress(archive), { complete: true })) {
      if (type === 'file') {
        const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path)?.[1];
        const digest = hex === undefined ? undefined : `sha256:${hex}`;
        last = digest !== undefined && isDigest(digest) ? digest : undefined;
        files.set(path, await putBlob(scratch, content(), last === undefined ? undefined : { digest: last }));
      } else if (type === 'hardlink') links.push({ path, target: linkname ?? '' });
      // Older Docker stores a layer that two images share once, and links to it.
      else if (type === 'symlink') links.push({ path, target: posix.join(posix.dirname(path), linkname ?? '') });
    }
  } catch (error) {
    throw last === undefined ? error : damagedIn(last, error);
  }
  for (const { path, target } of links) {
    const blob = files.get(target);
    if (blob !== undefined) files.set(path, blob);
  }
  return files;
}

/** Which blob a damaged archive ends in, or after. */
function damagedIn(digest: Digest, error: unknown): unknown {
  if (!(error instanceof KvciError) || error.code !== 'tar-damaged') return error;
  const { hint } = error;
  return new KvciError(error.reason, error.code, `${error.message} (at the blob ${digest})`, {
    ...(hint === undefined ? {} : { hint }),
    facts: { ...error.facts, digest },
    cause: error,
  });
}

async function imagesOf(scratch: ImageLayout, files: ArchiveFiles): Promise<readonly LoadedImage[]> {
  const index = files.get('index.json');
  if (index !== undefined) {
    const { manifests } = parseIndex(await readBlob(scratch, index), 'index.json of the archive');
    return (await Promise.all(manifests.map((entry) => flattenIndex(scratch, entry)))).flat();
  }
  const manifest = files.get('manifest.json');
  if (manifest === undefined) {
    throw new KvciError('failed', 'not-an-archive', 'this is not an image archive: it has neither index.json nor manifest.json', {
      hint: 'Write one with "kvci image save", "docker save" or "podman save". A truncated archive looks like this, too.',
    });
  }
  const images = parse(dockerManifest, await readBlob(scratch, manifest), 'manifest.json of the archive');
  return Promise.all(
    images.map(async ({ Config, RepoTags, Layers }) => ({
      descriptor: await manifestOf(scratch, files, Config, Layers),
      refs: RepoTags,
      indexes: [],
    })),
  );
}

/** The images that an entry of an archive's index names; of several platforms, those whose blobs came with it. */
async function flattenIndex(scratch: ImageLayout, entry: Descriptor): Promise<readonly LoadedImage[]> {
  const name = entry.annotations?.[CONTAINERD_NAME] ?? entry.annotations?.[REF_NAME];
  const { annotations: _annotations, ...descriptor } = entry;
  const refs = name === undefined ? [] : [name];
  if (!isIndex(entry)) return [{ descriptor, refs, indexes: [] }];
  const { manifests } = parseIndex(await readBlob(scratch, { digest: entry.digest }), `image index ${entry.digest}`);
  const present: Descriptor[] = [];
  for (const child of manifests) if (child.platform?.architecture !== 'unknown' && (await hasBlob(scratch, child))) present.push(child);
  return (await Promise.all(present.map((child) => flattenIndex(scratch, child))))
    .flat()
    .map((image) => ({ ...image, refs, indexes: [...image.indexes, entry.digest] }));
}

/** A manifest for an image of a docker-archive, which has none. */
async function manifestOf(
  scratch: ImageLayout,
  files: ArchiveFiles,
  configPath: string,
  layerPaths: readonly string[],
): Promise<Descriptor> {
  const config = required(files, configPath);
  const named = /^(?:blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(configPath)?.[1];
  if (named !== undefined && config.digest !== `sha256:${named}`)
    throw new KvciError('failed', 'digest-mismatch', `expected sha256:${named} for the config of the archive, got ${config.digest}`);
  parseConfig(await readBlob(scratch, config), 'the config of the archive');
  const layers: Descriptor[] = [];
  for (const path of layerPaths) {
    const blob = required(files, path);
    const head = await firstBytes(await openBlob(scratch, blob));
    layers.push({ mediaType: LAYER_MEDIA_TYPES[compressionOf(head)], ...blob });
  }
  return putManifest(scratch, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, ...config },
    layers,
  });
}

function required(files: ArchiveFiles, path: string): Blob {
  const blob = files.get(posix.normalize(path));
  if (blob !== undefined) return blob;
  throw new KvciError('failed', 'archive-incomplete', `the archive lacks ${path}`, {
    hint: 'It may have been cut off on its way; get it again.',
  });
}

async function firstBytes(stream: Readable): Promise<Uint8Array> {
  for await (const chunk of stream as AsyncIterable<Uint8Array>) return chunk;
  return new Uint8Array();
}

/**
 * Checks every blob of an image, and that each layer unpacks to what the config says.
 *
 * @throws KvciError `blob-missing`, `digest-mismatch`, `layer-damaged`, `oci-malformed`
 */
async function verifyImage(layout: ImageLayout, descriptor: Descriptor): Promise<void> {
  await reachableBlobs(layout, descriptor);
  const image = await readImageAt(layout, descriptor);
  const seen = new Set<Digest>();
  for (const layer of layersOf(image)) {
    if (seen.has(layer.diffId)) continue;
    seen.add(layer.diffId);
    const { diffId } = await describeLayer(layout, layer.descriptor);
    if (diffId !== layer.diffId) {
      throw new KvciError(
        'failed',
        'digest-mismatch',
        `layer ${layer.descriptor.digest} unpacks to ${diffId}, but its image says ${layer.diffId}`,
      );
    }
  }
}
