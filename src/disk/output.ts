import { link, lstat, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull, temporaryName } from '../host/files.ts';
import type { CommandRunner } from '../host/types.ts';

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
 * @throws KvciError `file-exists`, `disk-full`
 */
export async function copyDisk(disk: string, file: string, commands: CommandRunner, signal: AbortSignal): Promise<void> {
  const temporary = temporaryName(file);
  try {
    await commands.run(['cp', '--reflink=auto', '--sparse=always', '--', disk, temporary], { signal });
    // Unlike a rename, a link never replaces what somebody else put there meanwhile.
    await link(temporary, file);
  } catch (error) {
    throw hasErrno(error, 'EEXIST') ? exists(file) : asDiskFull(error, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

function exists(file: string): KvciError {
  return new KvciError('notFoundOrExists', 'file-exists', `${file} exists already`, { hint: 'Remove it or choose another name.' });
}
