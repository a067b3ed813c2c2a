import type { Readable } from 'node:stream';

import { KvciError } from '../core/errors.ts';
import { keepBlob, openBlob, putBlob, readBlob } from './blobs.ts';
import { reachableBlobs } from './copy.ts';
import { choosePlatform } from './image.ts';
import type { ImageLayout } from './layout.ts';
import { enterManifest } from './manifests.ts';
import { formatReference, type ImageReference } from './reference.ts';
import type { RegistryClient } from './registry.ts';
import { isIndex, parseIndex, parseManifest } from './schemas.ts';
import type { Descriptor } from './types.ts';

/** Blobs that are fetched or sent at the same time. */
const PARALLEL = 3;

export interface TransferOptions {
  readonly signal?: AbortSignal;
  /** Bytes of blobs that are there now, and of all that are needed. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface PullOptions extends TransferOptions {
  /** Of an index, the image for `linux` and this architecture is taken. */
  readonly architecture: string;
  /** Names under which it is entered into the layout. */
  readonly refs?: readonly string[];
}

/**
 * Brings an image into a layout; blobs that are there already are not fetched. It is entered into the index when all of it is
 * there.
 *
 * @throws KvciError `image-not-found`, `platform-missing`, `digest-mismatch`, `registry-denied`, `registry-failed`, `offline`
 */
export async function pullImage(
  client: RegistryClient,
  layout: ImageLayout,
  reference: ImageReference,
  options: PullOptions,
): Promise<Descriptor> {
  const served = await client.retry(formatReference(reference), () => client.manifest(reference, options.signal), options.signal);
  await putBlob(layout, served.bytes, served.descriptor);
  if (isIndex(served.descriptor)) {
    const { manifests } = parseIndex(served.bytes, `image index ${served.descriptor.digest}`);
    const { digest } = choosePlatform(manifests, options.architecture, served.descriptor.digest);
    return pullImage(client, layout, { registry: reference.registry, repository: reference.repository, digest }, options);
  }
  const { config, layers } = parseManifest(served.bytes, `manifest ${served.descriptor.digest}`);
  const blobs = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
  const progress = progressOf(blobs, options);
  await inParallel(blobs, async (blob) => {
    if (!(await keepBlob(layout, blob))) {
      const fetch = async (): Promise<unknown> => putBlob(layout, await client.blob(reference, blob.digest, options.signal), blob);
      await client.retry(`the blob ${blob.digest} of ${formatReference(reference)}`, fetch, options.signal);
    }
    progress(blob);
  });
  await enterManifest(layout, served.descriptor, options.refs ?? []);
  return served.descriptor;
}

/**
 * Sends an image, or an index with all its images, to a registry, under the reference's tag where it has one; blobs that the
 * repository has are not sent.
 *
 * @throws KvciError `blob-missing`, `registry-denied`, `registry-failed`, `offline`
 */
export async function pushImage(
  client: RegistryClient,
  layout: ImageLayout,
  descriptor: Descriptor,
  reference: ImageReference,
  options: TransferOptions = {},
): Promise<void> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const all = await reachableBlobs(layout, descriptor);
  const manifests = await manifestsOf(layout, descriptor);
  const blobs = all.filter(({ digest }) => !manifests.some((manifest) => manifest.digest === digest));
  const progress = progressOf(blobs, options);
  await inParallel(blobs, async (blob) => {
    await client.retry(
      `the blob ${blob.digest} to ${reference.registry}`,
      () => pushBlob(client, layout, blob, reference, signal),
      options.signal,
    );
    progress(blob);
  });
  for (const manifest of manifests) {
    const name = manifest.digest === descriptor.digest ? (reference.tag ?? manifest.digest) : manifest.digest;
    const body = await readBlob(layout, { digest: manifest.digest });
    const put = {
      method: 'PUT' as const,
      url: await client.url(reference, `manifests/${name}`),
      headers: { 'content-type': manifest.mediaType },
      body,
      ...signal,
    };
    const response = await client.retry('the manifest', () => client.request(reference, 'pull,push', put), options.signal);
    response.body.resume();
  }
}

/** The manifests that a registry has to be given, images before the index that names them. */
async function manifestsOf(layout: ImageLayout, descriptor: Descriptor): Promise<Descriptor[]> {
  if (!isIndex(descriptor)) return [descriptor];
  const { manifests } = parseIndex(await readBlob(layout, { digest: descriptor.digest }), `image index ${descriptor.digest}`);
  return [...(await Promise.all(manifests.map((child) => manifestsOf(layout, child)))).flat(), descriptor];
}

async function pushBlob(
  client: RegistryClient,
  layout: ImageLayout,
  blob: Descriptor,
  reference: ImageReference,
  signal: { readonly signal?: AbortSignal },
): Promise<void> {
  const there = await client.request(
    reference,
    'pull,push',
    { method: 'HEAD', url: await client.url(reference, `blobs/${blob.digest}`), ...signal },
    [404],
  );
  there.body.resume();
  if (there.status !== 404) return;
  const post = {
    method: 'POST' as const,
    url: await client.url(reference, 'blobs/uploads/'),
    headers: { 'content-length': '0' },
    ...signal,
  };
  const opened = await client.request(reference, 'pull,push', post);
  opened.body.resume();
  const { location } = opened.headers;
  if (location === undefined)
    throw new KvciError('failed', 'registry-failed', `${reference.registry} opened an upload without telling where`);
  const url = new URL(location, post.url);
  url.searchParams.set('digest', blob.digest);
  const body: Readable = await openBlob(layout, blob);
  try {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(blob.size) };
    const sent = await client.request(reference, 'pull,push', { method: 'PUT', url: url.href, headers, body, ...signal });
    sent.body.resume();
  } finally {
    body.destroy();
  }
}

function progressOf(blobs: readonly Descriptor[], { onProgress }: TransferOptions): (blob: Descriptor) => void {
  const total = blobs.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  return ({ size }) => {
    done += size;
    onProgress?.(done, total);
  };
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    try {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
    } catch (error) {
      queue.length = 0;
      throw error;
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
  for (const outcome of workers) if (outcome.status === 'rejected') throw outcome.reason;
}
