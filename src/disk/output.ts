import { link, lstat, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull, temporaryName } from '../host/files.ts';
import type { Reaper } from '../host/ledger.ts';
import type { CommandRunner, Ledger } from '../host/types.ts';

/** Ledger kind of a copy that is being made. */
const COPY = 'disk-copy';

/**
 * Finds out before the work whether a new file can be put there.
 *
 * @throws KvciError `file-exists`, `folder-missing`, `folder-read-only`
 */
export async function checkOutput(file: string): Promise<void> {
  await checkFolderOf(file, '--output');
  if ((await lstat(file).catch(() => undefined)) !== undefined) throw exists(file);
}

/**
 * Finds out whether the folder of a file can be written to.
 *
 * @param flag which names the file
 * @throws KvciError `folder-missing`, `folder-read-only`
 */
export async function checkFolderOf(file: string, flag: string): Promise<void> {
  const folder = dirname(file);
  const facts = { flag, folder };
  const there = await stat(folder).catch(() => undefined);
  if (there?.isDirectory() !== true)
    throw new KvciError('notFoundOrExists', 'folder-missing', `${flag}: there is no folder ${folder}`, { facts });
  const probe = temporaryName(file);
  try {
    await writeFile(probe, '', { flag: 'wx' });
  } catch (cause) {
    throw new KvciError('usage', 'folder-read-only', `${flag}: nothing can be written to ${folder}`, { facts, cause });
  } finally {
    await rm(probe, { force: true });
  }
}

/**
 * Copies a disk to where the user wants it, whole or not at all, its holes kept. Blocks are shared where the file system can do that; a
 * hard link would let who boots the copy write to the one in the store.
 *
 * @param commands the host's
 * @param ledger has the unfinished copy, so that `prune` finds it
 * @throws KvciError `file-exists`, `disk-full`
 */
export async function copyDisk(
  disk: string,
  file: string,
  { commands, ledger }: { readonly commands: CommandRunner; readonly ledger: Ledger },
  signal: AbortSignal,
): Promise<void> {
  const temporary = temporaryName(file);
  await using _entry = await ledger.enter(COPY, { path: temporary });
  try {
    await commands.run(['cp', '--reflink=auto', '--sparse=always', '--', disk, temporary], { signal });
    await put(temporary, file);
  } catch (error) {
    throw hasErrno(error, 'EEXIST') ? exists(file) : asDiskFull(error, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Unlike a rename, a link never replaces what somebody else put there meanwhile; some file systems have none. */
async function put(temporary: string, file: string): Promise<void> {
  try {
    await link(temporary, file);
  } catch (error) {
    if (!hasErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error;
    if ((await lstat(file).catch(() => undefined)) !== undefined) throw exists(file);
    await rename(temporary, file);
  }
}

/** What `prune` removes of a copy whose kvci was killed. */
export const diskCopyReaper: Reaper = {
  kind: COPY,
  describe: ({ path }) => `the unfinished copy of a disk ${String(path)}`,
  reap: ({ path }) => rm(String(path), { force: true }),
};

function exists(file: string): KvciError {
  return new KvciError('notFoundOrExists', 'file-exists', `${file} exists already`, { hint: 'Remove it or choose another name.' });
}
