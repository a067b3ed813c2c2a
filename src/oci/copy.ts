import { constants, copyFile, link, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { type Digest, hexOf } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull } from '../host/files.ts';
import { blobPath, hasBlob, keepBlob, readBlob, temporaryPath } from './blobs.ts';
import { type ImageLayout, TEMPORARY, withLock } from './layout.ts';
import { enterManifest, readIndex } from './manifests.ts';
import { isIndex, parseIndex, parseManifest } from './schemas.ts';
import type { Descriptor } from './types.ts';

/**
 * Every blob that a manifest or an index leads to, itself last, each once. An index of several platforms may lack the images of
 * some: they are left out. `incomplete` accepts a manifest that lacks blobs and names those too.
 *
 * @throws KvciError `blob-missing`
 */
export async function reachableBlobs(
  layout: Pick<ImageLayout, 'path'>,
  descriptor: Descriptor,
  incomplete = false,
): Promise<readonly Descriptor[]> {
  if (incomplete && !(await hasBlob(layout, { digest: descriptor.digest }))) return [descriptor];
  const bytes = await readBlob(layout, { digest: descriptor.digest });
  const found: Descriptor[] = [];
  if (isIndex(descriptor)) {
    for (const child of parseIndex(bytes, `image index ${descriptor.digest}`).manifests)
      if (await hasBlob(layout, child)) found.push(...(await reachableBlobs(layout, child, incomplete)));
  } else {
    const { config, layers } = parseManifest(bytes, `manifest ${descriptor.digest}`);
    for (const blob of [config, ...layers]) {
      if (!incomplete && !(await hasBlob(layout, blob)))
        throw new KvciError('failed', 'blob-missing', `image ${descriptor.digest} in ${layout.path} lacks its blob ${blob.digest}`);
      found.push(blob);
    }
  }
  return [...new Map([...found, descriptor].map((blob) => [blob.digest, blob])).values()];
}

/**
 * Copies an image with all its blobs, by hard links where both layouts are on one file system, and enters it into the index
 * of `to` under `refs`.
 */
export async function copyImage(
  from: Pick<ImageLayout, 'path'>,
  to: ImageLayout,
  descriptor: Descriptor,
  refs: readonly string[] = [],
): Promise<void> {
  for (const blob of await reachableBlobs(from, descriptor)) await bringBlob(from, to, blob);
  await enterManifest(to, descriptor, refs);
}

/** One blob of another layout, linked where that is possible, and young, so that it is no garbage before a manifest names it. */
export async function bringBlob(
  from: Pick<ImageLayout, 'path'>,
  to: Pick<ImageLayout, 'path'>,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
): Promise<void> {
  if (await keepBlob(to, { digest, size })) return;
  await copyBlob(from, to, digest);
  await keepBlob(to, { digest, size });
}

async function copyBlob(from: Pick<ImageLayout, 'path'>, to: Pick<ImageLayout, 'path'>, digest: Digest): Promise<void> {
  const temporary = await temporaryPath(to);
  try {
    await linkOrCopy(blobPath(from, digest), temporary);
    await rename(temporary, blobPath(to, digest));
  } catch (cause) {
    throw asDiskFull(cause, to.path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // Another file system, one without hard links, or a file of somebody else (fs.protected_hardlinks).
    if (!hasErrno(error, 'EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP', 'EACCES')) throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}

/**
 * Removes blobs that no manifest of the index leads to, and what killed processes left in the temp folder, if they were last
 * written before `before`: younger ones may belong to an image that another process is still writing.
 */
export async function collectGarbage(layout: ImageLayout, before: Date): Promise<{ readonly removed: number; readonly bytes: number }> {
  return withLock(layout, async () => {
    const kept = new Set<string>();
    for (const entry of (await readIndex(layout)).manifests) {
      for (const { digest } of await reachableBlobs(layout, entry, true)) kept.add(hexOf(digest));
    }
    let removed = 0;
    let bytes = 0;
    for (const folder of [join(layout.path, 'blobs', 'sha256'), join(layout.path, TEMPORARY)]) {
      for (const name of await readdir(folder).catch(() => [])) {
        if (kept.has(name)) continue;
        const path = join(folder, name);
        const status = await stat(path).catch(() => undefined);
        if (status === undefined || status.mtime >= before) continue;
        await rm(path, { recursive: true, force: true });
        removed += 1;
        bytes += status.size;
      }
    }
    return { removed, bytes };
  });
}
