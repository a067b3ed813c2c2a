import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { putBlob, readBlob } from './blobs.ts';
import { readLayer } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import { putManifest, requireManifest } from './manifests.ts';
import { isIndex, parseConfig, parseIndex, parseManifest } from './schemas.ts';
import { readTree, type Tree, type TreeNode } from './tree.ts';
import { type Descriptor, type ImageConfig, type Layer, type Manifest, MEDIA_TYPES } from './types.ts';

export interface Image {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/**
 * The image that a digest or a reference of the layout names; of an index of several platforms, the one for `architecture`.
 *
 * @throws KvciError `image-not-found`, `blob-missing`, `digest-mismatch`, `oci-malformed`
 */
export async function readImage(layout: Pick<ImageLayout, 'path'>, refOrDigest: string, architecture?: string): Promise<Image> {
  return readImageAt(layout, await requireManifest(layout, refOrDigest), architecture);
}

/** {@link readImage} for a manifest that need not stand in the layout's index. */
export async function readImageAt(layout: Pick<ImageLayout, 'path'>, descriptor: Descriptor, architecture?: string): Promise<Image> {
  const bytes = await readBlob(layout, { digest: descriptor.digest });
  if (isIndex(descriptor)) {
    const { manifests } = parseIndex(bytes, `image index ${descriptor.digest}`);
    return readImageAt(layout, choosePlatform(manifests, architecture, descriptor.digest), architecture);
  }
  const manifest = parseManifest(bytes, `manifest ${descriptor.digest}`);
  const config = parseConfig(await readBlob(layout, manifest.config), `config ${manifest.config.digest}`);
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    const counts = `${manifest.layers.length} layers, ${config.rootfs.diff_ids.length} diff ids`;
    throw new KvciError('failed', 'oci-malformed', `the config of image ${descriptor.digest} does not fit its manifest: ${counts}`);
  }
  return { descriptor, manifest, config };
}

/** @throws KvciError `platform-missing` */
export function choosePlatform(manifests: readonly Descriptor[], architecture: string | undefined, digest: Digest): Descriptor {
  // Attestations stand in an index as images for the platform "unknown".
  const images = manifests.filter(({ platform }) => platform?.architecture !== 'unknown');
  const [first, second] = images;
  if (first !== undefined && second === undefined && (architecture === undefined || first.platform === undefined)) return first;
  const found = images.find(({ platform }) => platform?.os === 'linux' && platform.architecture === architecture);
  if (found !== undefined) return found;
  const has = images.map(({ platform }) => (platform === undefined ? 'unknown' : `${platform.os}/${platform.architecture}`));
  throw new KvciError('notFoundOrExists', 'platform-missing', `${digest} has no image for linux/${architecture ?? '?'}`, {
    hint: `It has ${has.length === 0 ? 'none at all' : has.join(', ')}.`,
  });
}

export interface ImagePlan {
  /** Lowest first. */
  readonly layers: readonly Layer[];
  readonly architecture: string;
  /** ISO 8601. */
  readonly created: string;
  readonly config: NonNullable<ImageConfig['config']>;
  /** Entries of the manifest. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** What made each layer, for `history`; as many as there are layers. */
  readonly history?: readonly string[];
  readonly refs?: readonly string[];
}

/** Docker's names for layer types, which a pulled base may have and an OCI manifest must not. */
const OCI_LAYER_TYPES: Readonly<Record<string, string>> = {
  'application/vnd.docker.image.rootfs.diff.tar': MEDIA_TYPES.layer,
  'application/vnd.docker.image.rootfs.diff.tar.gzip': MEDIA_TYPES.layerGzip,
  'application/vnd.docker.image.rootfs.diff.tar.zstd': MEDIA_TYPES.layerZstd,
};

/** Writes config and manifest over layers that are in the layout already; equal plans give the same digest. */
export async function assembleImage(layout: ImageLayout, plan: ImagePlan): Promise<Image> {
  const labels = plan.config.Labels;
  const config: ImageConfig = {
    created: plan.created,
    architecture: plan.architecture,
    os: 'linux',
    config: labels === undefined ? plan.config : { ...plan.config, Labels: sorted(labels) },
    rootfs: { type: 'layers', diff_ids: plan.layers.map(({ diffId }) => diffId) },
    ...(plan.history === undefined ? {} : { history: plan.history.map((made) => ({ created: plan.created, created_by: made })) }),
  };
  const written = await putBlob(layout, Buffer.from(JSON.stringify(config)));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, ...written },
    layers: plan.layers.map(({ descriptor }) => ({
      ...descriptor,
      mediaType: OCI_LAYER_TYPES[descriptor.mediaType] ?? descriptor.mediaType,
    })),
    ...(plan.annotations === undefined ? {} : { annotations: sorted(plan.annotations) }),
  };
  return { descriptor: await putManifest(layout, manifest, plan.refs), manifest, config };
}

function sorted(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The layers of an image with their diff ids. */
export function layersOf(image: Image): Layer[] {
  return image.manifest.layers.flatMap((descriptor, index) => {
    const diffId = image.config.rootfs.diff_ids[index];
    return diffId === undefined ? [] : [{ descriptor, diffId }];
  });
}

/**
 * The layers that an image has over another: what an engine added to its base.
 *
 * @throws KvciError `base-differs` when the image does not stand on that base
 */
export function layersAbove(base: readonly Digest[], image: Image): Layer[] {
  const layers = layersOf(image);
  if (base.every((diffId, index) => layers[index]?.diffId === diffId)) return layers.slice(base.length);
  throw new KvciError('failed', 'base-differs', `image ${image.descriptor.digest} does not stand on the layers of its base`, {
    hint: 'The engine may have squashed or rebuilt the base; build without squashing.',
    facts: { base, image: layers.map(({ diffId }) => diffId) },
  });
}

// ---- content --------------------------------------------------------------------------------------------------------

/** The merged tree of an image. */
export function imageTree(layout: ImageLayout, image: Image): Promise<Tree> {
  return readTree(layout, image.manifest.layers);
}

/** What stands at a path once symlinks are followed inside the tree, on the way and at the end. */
export function followPath(tree: Tree, path: string, followed = 0): TreeNode | undefined {
  let at = '.';
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  for (const [index, part] of parts.entries()) {
    const node = tree.nodes.get(posix.join(at, part));
    if (node?.type === 'symlink') {
      const target = posix.resolve('/', at, node.linkname ?? '', ...parts.slice(index + 1));
      return followed < 40 ? followPath(tree, target.slice(1), followed + 1) : undefined;
    }
    if (node === undefined) return undefined;
    at = node.path;
  }
  return tree.nodes.get(at);
}

export interface FoundFile {
  /** Of hard links, the first path that was asked for; `links` names all. */
  readonly node: TreeNode;
  readonly content: () => Readable;
}

/** The files that `wanted` accepts, layer by layer, each layer that has one of them read once. Contents are read before the next is asked for. */
export async function* readFiles(layout: ImageLayout, tree: Tree, wanted: (node: TreeNode) => boolean): AsyncGenerator<FoundFile> {
  const byLayer = new Map<number, Map<string, TreeNode>>();
  for (const node of tree.nodes.values()) {
    if (node.type !== 'file' || node.source === undefined || !wanted(node)) continue;
    const inLayer = byLayer.get(node.source.layer) ?? new Map<string, TreeNode>();
    byLayer.set(node.source.layer, inLayer);
    if (!inLayer.has(node.source.path)) inLayer.set(node.source.path, node);
  }
  for (const [layer, nodes] of [...byLayer].toSorted(([a], [b]) => a - b)) {
    const descriptor = tree.layers[layer];
    if (descriptor === undefined) continue;
    for await (const { path, offset, content } of readLayer(layout, descriptor)) {
      const node = nodes.get(path);
      if (node !== undefined && node.source?.offset === offset) yield { node, content };
    }
  }
}

/** A file's content, symlinks followed; undefined when there is no such file. For files of some MB at most. */
export async function readFile(layout: ImageLayout, tree: Tree, path: string): Promise<Buffer | undefined> {
  const target = followPath(tree, path);
  if (target?.type !== 'file') return undefined;
  // Awaited here: leaving the loop closes the layer.
  for await (const { content } of readFiles(layout, tree, (node) => node === target)) return await buffer(content());
  return undefined;
}
