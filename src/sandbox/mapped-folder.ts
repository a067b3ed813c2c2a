import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { hasErrno } from '../core/errors.ts';
import type { Directories, Ledger } from '../host/types.ts';
import type { Sandboxes } from './types.ts';

/** Ledger kind of a folder whose files may belong to mapped ids. */
export const MAPPED_FOLDER = 'mapped-folder';

/**
 * Removes a tree that may hold files of an ordinary user's subordinate ids, which only root of a namespace with these ids
 * may touch. What needs no such help is removed without.
 */
export async function removeMappedTree(path: string, sandboxes: Pick<Sandboxes, 'startOverHost'>, signal: AbortSignal): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!hasErrno(error, 'EACCES', 'EPERM', 'ENOTEMPTY')) throw error;
    await using box = await sandboxes.startOverHost({ name: 'removal', signal });
    await box.run(['rm', '--recursive', '--force', '--', path]);
  }
}

export interface MappedFolderParts {
  readonly directories: Pick<Directories, 'cache'>;
  readonly ledger: Ledger;
  readonly sandboxes: Pick<Sandboxes, 'startOverHost'>;
}

/**
 * A folder for what a command unpacks while it runs, on the disk of the cache and not in memory. It is in the ledger before
 * it exists: `prune` removes what a killed run left.
 */
export async function temporaryMappedFolder(parts: MappedFolderParts): Promise<AsyncDisposable & { readonly path: string }> {
  const path = join(parts.directories.cache, 'temporary', randomBytes(8).toString('hex'));
  const entry = await parts.ledger.enter(MAPPED_FOLDER, { path });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      // Also after Ctrl-C: the signal of the run is no reason to leave the folder.
      await removeMappedTree(path, parts.sandboxes, new AbortController().signal);
      await entry[Symbol.asyncDispose]();
    },
  };
}
