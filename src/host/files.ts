import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import type { Digest } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';

/** A name beside `path`, on the same file system, that nobody else uses. */
export function temporaryName(path: string): string {
  return `${path}.tmp-${randomBytes(6).toString('hex')}`;
}

/** Writes a whole file or nothing: temp name, flush, rename. */
export async function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Removes a file or folder whatever it is; nothing happens when it is not there. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/** What a file holds, read as a stream; `size` is in bytes. */
export async function digestFile(path: string): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return { digest: `sha256:${hash.digest('hex')}`, size: (await stat(path)).size };
}

/** Bytes that a file or folder takes on disk, hard links counted once. Folders that we may not read count without their contents. */
export async function diskUse(path: string): Promise<number> {
  const seen = new Set<string>();
  const visit = async (place: string): Promise<number> => {
    const stat = await lstat(place).catch(absent);
    if (stat === undefined) return 0;
    const own = stat.blocks * 512;
    if (!stat.isDirectory()) {
      if (stat.nlink === 1) return own;
      const inode = `${stat.dev}:${stat.ino}`;
      if (seen.has(inode)) return 0;
      seen.add(inode);
      return own;
    }
    let total = own;
    for (const name of (await readdir(place).catch(absent)) ?? []) total += await visit(join(place, name));
    return total;
  };
  return visit(path);
}

function absent(error: unknown): undefined {
  if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
  throw error;
}

/**
 * A full disk or quota anywhere in the chain of causes as an error of its own, every other error as it is.
 *
 * Programs tell of it in words only, so the text of a failed command counts too.
 */
export function asDiskFull(error: unknown, path: string): unknown {
  if (error instanceof KvciError && error.code === 'disk-full') return error;
  for (let cause: unknown = error, depth = 0; cause instanceof Error && depth < 10; cause = cause.cause, depth += 1) {
    if (hasErrno(cause, 'ENOSPC', 'EDQUOT') || /No space left on device|Disk quota exceeded/.test(cause.message)) {
      return new KvciError('hostNotReady', 'disk-full', `no space left on the disk of ${path}`, {
        hint: 'Make room, for example with "kvci cache prune --keep 5G", and run the command again.',
        facts: { path },
        cause: error,
      });
    }
  }
  return error;
}
