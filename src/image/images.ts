import { constants, createReadStream, createWriteStream } from 'node:fs';
import { access, link, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

import { type Digest, hexOf, isDigest } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import { asDiskFull, temporaryName } from '../host/files.ts';
import { loadArchive, type LoadedImage } from '../oci/archive-load.ts';
import { saveArchive } from '../oci/archive-save.ts';
import { collectGarbage } from '../oci/copy.ts';
import { readBlob } from '../oci/blobs.ts';
import { type Image, readImageAt } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { listManifests, type ListedManifest, removeManifest, untagManifest } from '../oci/manifests.ts';
import { isIndex, parseManifest } from '../oci/schemas.ts';
import { KVCI_LABELS } from './labels.ts';

/** A node image in kvci's store. */
export interface ImageSummary {
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly kubernetes: string;
  readonly base: string;
  readonly architecture: string;
  /** Bytes of all layers as stored. */
  readonly size: number;
  /** ISO 8601: the time of its inputs. */
  readonly created: string;
}

/** All images of the store; what refers to them (bills of materials, provenance) is left out. */
export async function listImages(layout: ImageLayout): Promise<readonly ImageSummary[]> {
  const summaries: ImageSummary[] = [];
  for (const listed of await listManifests(layout)) {
    const image = await readNode(layout, listed);
    if (image !== undefined) summaries.push(summaryOf(image, listed.refs));
  }
  return summaries.toSorted((a, b) => (a.tags.join() < b.tags.join() ? -1 : 1));
}

/** An artifact has a configuration that is none. */
async function readNode(layout: ImageLayout, { descriptor }: ListedManifest): Promise<Image | undefined> {
  try {
    return await readImageAt(layout, descriptor);
  } catch (error) {
    if (error instanceof KvciError && error.code === 'oci-malformed') return undefined;
    throw error;
  }
}

function summaryOf({ descriptor, manifest, config }: Image, tags: readonly string[]): ImageSummary {
  const labels = config.config?.Labels ?? {};
  return {
    digest: descriptor.digest,
    tags,
    kubernetes: labels[KVCI_LABELS.kubernetes] ?? '',
    base: labels[KVCI_LABELS.base] ?? '',
    architecture: config.architecture,
    size: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
    created: config.created ?? '',
  };
}

/**
 * The image that a word names: a tag, a digest or its unambiguous beginning (with or without `sha256:`).
 *
 * @throws KvciError `image-not-found`, `image-ambiguous`
 */
export async function findImage(layout: ImageLayout, word: string): Promise<ListedManifest> {
  const listed = await listManifests(layout);
  const exact = listed.find(({ descriptor, refs }) => refs.includes(word) || descriptor.digest === word);
  if (exact !== undefined) return exact;
  const hex = isDigest(word) ? hexOf(word) : word.replace(/^sha256:/, '');
  const matching = /^[0-9a-f]{6,}$/.test(hex) ? listed.filter(({ descriptor }) => hexOf(descriptor.digest).startsWith(hex)) : [];
  const [only, another] = matching;
  if (only !== undefined && another === undefined) return only;
  if (another !== undefined) {
    throw new KvciError('usage', 'image-ambiguous', `"${word}" is the beginning of ${matching.length} digests`, {
      hint: 'Give more digits.',
    });
  }
  const suggestion = nearest(
    word,
    listed.flatMap(({ refs }) => refs),
  );
  throw new KvciError('notFoundOrExists', 'image-not-found', `there is no image "${word}" in kvci's store`, {
    hint: suggestion === undefined ? 'See "kvci image list".' : `Did you mean ${suggestion}?`,
    facts: { image: word },
  });
}

/**
 * Takes a name away; with its last name, or named by its digest, the image itself goes, with what refers to it and the blobs that
 * nothing else needs.
 */
export async function removeImage(
  layout: ImageLayout,
  word: string,
  now: Date,
): Promise<{ readonly digest: Digest; readonly untagged: readonly string[]; readonly removed: boolean }> {
  const { descriptor, refs } = await findImage(layout, word);
  if (refs.includes(word) && refs.length > 1) {
    await untagManifest(layout, word);
    return { digest: descriptor.digest, untagged: [word], removed: false };
  }
  for (const referrer of await referrersOf(layout, descriptor.digest)) await removeManifest(layout, referrer);
  await removeManifest(layout, descriptor.digest);
  await removeUnusedBlobs(layout, now);
  return { digest: descriptor.digest, untagged: refs, removed: true };
}

/** Removes what no image of the store needs. */
export function removeUnusedBlobs(layout: ImageLayout, now: Date): Promise<{ readonly removed: number; readonly bytes: number }> {
  return collectGarbage(layout, new Date(now.getTime() - GARBAGE_AGE_MS));
}

/** Blobs younger than this may belong to an image that another kvci is just putting together. */
const GARBAGE_AGE_MS = 60 * 60_000;

/** What refers to an image: its documents. */
export async function referrersOf(layout: ImageLayout, digest: Digest): Promise<readonly Digest[]> {
  const listed = await listManifests(layout);
  const found: Digest[] = [];
  for (const { descriptor } of listed) {
    const subject = await subjectOf(layout, descriptor);
    if (subject === digest) found.push(descriptor.digest);
  }
  return found;
}

async function subjectOf(layout: ImageLayout, descriptor: ListedManifest['descriptor']): Promise<Digest | undefined> {
  if (isIndex(descriptor)) return undefined;
  return parseManifest(await readBlob(layout, descriptor), `manifest ${descriptor.digest}`).subject?.digest;
}

/** Writes an image as an archive for another host; the layers, and so the digest, stay as they are. @throws KvciError `file-exists`, `disk-full` */
export async function saveImage(
  layout: ImageLayout,
  word: string,
  file: string,
  signal: AbortSignal,
): Promise<{ readonly digest: Digest; readonly file: string; readonly size: number }> {
  const { descriptor, refs } = await findImage(layout, word);
  const temporary = temporaryName(file);
  try {
    await pipeline(saveArchive(layout, descriptor, { refs, layers: 'as-is' }), createWriteStream(temporary, { flags: 'wx' }), { signal });
    const { size } = await stat(temporary);
    // Unlike a rename, a link never replaces what somebody else put there meanwhile.
    await link(temporary, file);
    return { digest: descriptor.digest, file, size };
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) {
      throw new KvciError('notFoundOrExists', 'file-exists', `${file} exists already`, {
        hint: 'Remove it or choose another name.',
        cause: error,
      });
    }
    throw asDiskFull(error, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Reads the images of an archive into the store. @throws KvciError `archive-missing`, and as `loadArchive` */
export async function loadImages(layout: ImageLayout, file: string): Promise<readonly ImageSummary[]> {
  const loaded = await readArchive(layout, file);
  return Promise.all(loaded.map(async ({ descriptor, refs }) => summaryOf(await readImageAt(layout, descriptor), refs)));
}

/** Reads the images of an archive's file into a layout. @throws KvciError `archive-missing`, and as `loadArchive`, with the file's name */
export async function readArchive(layout: ImageLayout, file: string): Promise<readonly LoadedImage[]> {
  try {
    // A pipe or a device may hold an archive as well.
    if ((await stat(file)).isDirectory()) throw new KvciError('usage', 'not-an-archive', `${file} is a folder, not an archive`);
    await access(file, constants.R_OK);
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR'))
      throw new KvciError('notFoundOrExists', 'archive-missing', `there is no file ${file}`, { cause: error });
    if (hasErrno(error, 'EACCES')) throw new KvciError('usage', 'archive-unreadable', `${file} must not be read by you`, { cause: error });
    throw error;
  }
  return loadArchive(layout, createReadStream(file)).catch((error: unknown) => {
    if (!(error instanceof KvciError) || error.code === 'disk-full') throw error;
    const { reason, code, message, hint, facts } = error;
    throw new KvciError(reason, code, `${file}: ${message}`, { ...(hint === undefined ? {} : { hint }), facts, cause: error });
  });
}
