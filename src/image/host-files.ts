import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import { digestFile } from '../host/files.ts';
import type { HostFile } from './context.ts';
import { type ImageOptions, parseExtraFile } from './options.ts';

/**
 * The files of `--file`, in their order.
 *
 * @param folder where relative paths start
 * @throws KvciError `bad-file` for one that is not there or is no file
 */
export async function readExtraFiles({ files }: ImageOptions, folder: string): Promise<readonly HostFile[]> {
  return Promise.all(
    files.map(async (text) => {
      const host = resolve(folder, parseExtraFile(text).source);
      try {
        return await hostFile(host);
      } catch (error) {
        if (!hasErrno(error, 'ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR')) throw error;
        throw new KvciError('usage', 'bad-file', `--file ${text}: ${host} cannot be read`, { cause: error });
      }
    }),
  );
}

/** Digest, size and whether it is executable; other mode bits follow the umask of whoever made the file. */
async function hostFile(host: string): Promise<HostFile> {
  const { mode } = await stat(host);
  return { host, mode: (mode & 0o100) === 0 ? 0o644 : 0o755, ...(await digestFile(host)) };
}

/** The files of an OCI layout, by path relative to it. */
export async function layoutFiles(folder: string): Promise<ReadonlyMap<string, HostFile>> {
  const names = ['oci-layout', 'index.json', ...(await readdir(join(folder, 'blobs/sha256'))).map((name) => `blobs/sha256/${name}`)];
  return new Map(await Promise.all(names.map(async (name) => [name, await hostFile(join(folder, name))] as const)));
}
