import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import { hasErrno, KvciError, messageOf } from '../core/errors.ts';
import { temporaryName } from '../host/files.ts';
import type { Tar, TarEntryWithContent } from '../host/tar.ts';
import type { BundleFile } from './logs.ts';

export interface WrittenBundle {
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  readonly files: number;
}

/**
 * Writes files as one .tar.gz below a folder of a name, whole or not at all.
 *
 * @param time of all files, milliseconds since the epoch
 * @throws KvciError `bundle-unwritable`
 */
export async function writeBundle(
  file: string,
  folder: string,
  files: AsyncIterable<BundleFile>,
  tar: Tar,
  time: number,
): Promise<WrittenBundle> {
  const temporary = temporaryName(file);
  let count = 0;
  async function* entries(): AsyncGenerator<TarEntryWithContent> {
    for await (const { path, text } of files) {
      const bytes = Buffer.from(text);
      count += 1;
      yield {
        path: `${folder}/${path}`,
        type: 'file',
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Math.floor(time / 1000),
        size: bytes.length,
        xattrs: {},
        content: () => Readable.from([bytes]),
      };
    }
  }
  try {
    await pipeline(tar.write(entries()), createGzip(), createWriteStream(temporary, { flags: 'wx', mode: 0o600 }));
    await rename(temporary, file);
    return { file, size: (await stat(file)).size, files: count };
  } catch (error) {
    await rm(temporary, { force: true });
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR', 'EROFS', 'ENOSPC')) throw error;
    throw new KvciError('usage', 'bundle-unwritable', `--bundle: ${file} cannot be written: ${messageOf(error)}`, {
      facts: { flag: '--bundle', file },
      cause: error,
    });
  }
}
