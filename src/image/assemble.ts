import type { Digest } from '../core/digest.ts';
import { putBlob } from '../oci/blobs.ts';
import { bringBlob } from '../oci/copy.ts';
import { assembleImage as assembleManifest } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { enterManifest, putManifest, removeManifest } from '../oci/manifests.ts';
import { type Descriptor, type Layer, MEDIA_TYPES } from '../oci/types.ts';
import type { Architecture } from '../payload/types.ts';
import { referrersOf } from './images.ts';
import type { NodeConfig } from './node-layers.ts';

/** Of a manifest that is no image: https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor */
const EMPTY_CONFIG = Buffer.from('{}');

interface Document {
  readonly mediaType: string;
  readonly content: string;
}

export interface AssembleRequest {
  readonly architecture: Architecture;
  /** ISO 8601, from the lock. */
  readonly created: string;
  readonly config: NodeConfig;
  readonly labels: Readonly<Record<string, string>>;
  /** All layers, the base's first, each with the folder of the layout that holds it and a word for its history. */
  readonly layers: readonly { readonly layer: Layer; readonly folder: string; readonly name: string }[];
  /** What belongs beside the image of that digest. */
  readonly documents: (image: Digest) => readonly Document[];
  readonly tags: readonly string[];
}

/**
 * Puts an image together in kvci's store and tags it; documents become manifests of their own that refer to it, in the place of
 * earlier ones. Blobs are linked, not copied, where the file system allows. The same request gives the same digest.
 */
export async function assembleImage(layout: ImageLayout, request: AssembleRequest): Promise<Descriptor> {
  for (const { layer, folder } of request.layers) await bringBlob({ path: folder }, layout, layer.descriptor);
  const { descriptor } = await assembleManifest(layout, {
    layers: request.layers.map(({ layer }) => layer),
    architecture: request.architecture,
    created: request.created,
    config: { ...request.config, Labels: request.labels },
    annotations: request.labels,
    history: request.layers.map(({ name }) => `kvci: ${name}`),
  });
  const documents = new Set<Digest>();
  for (const document of request.documents(descriptor.digest)) documents.add(await putDocument(layout, descriptor, document));
  for (const referrer of await referrersOf(layout, descriptor.digest)) {
    if (!documents.has(referrer)) await removeManifest(layout, referrer);
  }
  await enterManifest(layout, descriptor, request.tags);
  return descriptor;
}

/** https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage */
async function putDocument(layout: ImageLayout, subject: Descriptor, { mediaType, content }: Document): Promise<Digest> {
  const empty = await putBlob(layout, EMPTY_CONFIG);
  const blob = await putBlob(layout, Buffer.from(content));
  const { digest } = await putManifest(layout, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: mediaType,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', ...empty },
    layers: [{ mediaType, ...blob }],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
  });
  return digest;
}
