import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../core/errors.ts';
import { removeTree, writeFileAtomic } from '../host/files.ts';
import type { Tar } from '../host/tar.ts';
import type { Locks } from '../host/types.ts';
import { parse } from './schemas.ts';
import { MEDIA_TYPES } from './types.ts';

/**
 * An OCI image layout, a folder with `oci-layout`, `index.json` and `blobs/sha256`, and what working on it takes.
 * Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export interface ImageLayout {
  readonly path: string;
  readonly tar: Tar;
  readonly locks: Locks;
}

export type LayoutTools = Omit<ImageLayout, 'path'>;

const MARKER = 'oci-layout';

/** Where blobs grow before they have their name; on the same file system, cleared by `collectGarbage`. */
export const TEMPORARY = '.tmp';

/** The layout at `path`, made empty when nothing is there. */
export async function createLayout(path: string, tools: LayoutTools): Promise<ImageLayout> {
  await mkdir(join(path, 'blobs', 'sha256'), { recursive: true });
  await mkdir(join(path, TEMPORARY), { recursive: true });
  await withLock({ path, ...tools }, async () => {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] };
    if (!(await exists(join(path, 'index.json')))) await writeFileAtomic(join(path, 'index.json'), JSON.stringify(index));
    if (!(await exists(join(path, MARKER)))) await writeFileAtomic(join(path, MARKER), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  });
  return openLayout(path, tools);
}

/** @throws KvciError `not-a-layout` */
export async function openLayout(path: string, tools: LayoutTools): Promise<ImageLayout> {
  const marker = await readFile(join(path, MARKER)).catch((cause: unknown) => {
    if (!hasErrno(cause, 'ENOENT', 'ENOTDIR')) throw cause;
    throw new KvciError('notFoundOrExists', 'not-a-layout', `${path} is not an OCI image layout: it has no file "${MARKER}"`, { cause });
  });
  parse(z.looseObject({ imageLayoutVersion: z.literal('1.0.0') }), marker, join(path, MARKER));
  return { tar: tools.tar, locks: tools.locks, path };
}

/** Alone with `index.json`, among all processes. The lock lies beside the layout, so that a layout holds only what the standard knows. */
export async function withLock<T>(layout: ImageLayout, work: () => Promise<T>): Promise<T> {
  const lock = await layout.locks.exclusive(`${layout.path}.lock`);
  try {
    return await work();
  } finally {
    await lock[Symbol.asyncDispose]();
  }
}

/** A layout of its own inside another's temp folder, gone with everything in it when disposed. */
export async function scratchLayout(layout: ImageLayout): Promise<ImageLayout & AsyncDisposable> {
  const folder = join(layout.path, TEMPORARY, randomBytes(8).toString('hex'));
  const dispose = { [Symbol.asyncDispose]: () => removeTree(folder) };
  try {
    return { ...(await createLayout(join(folder, 'layout'), layout)), ...dispose };
  } catch (error) {
    await removeTree(folder);
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await readFile(path);
    return true;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
