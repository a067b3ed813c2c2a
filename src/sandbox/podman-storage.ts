import { stat } from 'node:fs/promises';

import { hasErrno } from '../core/errors.ts';
import type { Directories, Locks } from '../host/types.ts';
import { removeMappedTree } from './mapped-folder.ts';
import type { Sandboxes } from './types.ts';

export interface StorageParts {
  readonly directories: Pick<Directories, 'cache'>;
  readonly locks: Locks;
  readonly sandboxes: Pick<Sandboxes, 'startOverHost'>;
  readonly signal: AbortSignal;
}

/** Engines that kvci starts, each with a storage of its own: for builds, and for nodes. */
export type EngineName = 'engine' | 'nodes';

/** What an engine that kvci starts keeps: images and layers. */
export interface EngineStorage {
  readonly path: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly lastUsed: number;
}

/** The folder in kvci's cache that holds the engine's storage. */
export function engineFolder(directories: Pick<Directories, 'cache'>, name: EngineName = 'engine'): string {
  return `${directories.cache}/${name}`;
}

/** The lock of whoever uses the storage. Beside the folder: it stays when the folder goes. */
export function engineLock(directories: Pick<Directories, 'cache'>, name: EngineName = 'engine'): string {
  return `${directories.cache}/${name}.lock`;
}

/** Undefined where no engine was ever started. */
export async function engineStorage(
  { directories, sandboxes, signal }: StorageParts,
  name: EngineName = 'engine',
): Promise<EngineStorage | undefined> {
  const path = engineFolder(directories, name);
  const lastUsed = await mtimeOf(`${path}/scratch`);
  if (lastUsed === undefined) return undefined;
  // Folders of mapped ids are closed to an ordinary user.
  await using box = await sandboxes.startOverHost({ name: 'engine storage', signal });
  // While an engine works files vanish, of which du complains with 1 and goes on; what is gone as a whole has no size.
  const { stdout } = await box.run(['du', '--summarize', '--block-size=1', '--', path], { signal, accept: [1] });
  return stdout === '' ? undefined : { path, size: Number.parseInt(stdout, 10), lastUsed };
}

/** Removes the storage; answers false when an engine uses it. */
export async function removeEngineStorage(parts: StorageParts, name: EngineName = 'engine'): Promise<boolean> {
  const lock = await parts.locks.tryExclusive(engineLock(parts.directories, name));
  if (lock === undefined) return false;
  try {
    await removeMappedTree(engineFolder(parts.directories, name), parts.sandboxes, parts.signal);
  } finally {
    await lock[Symbol.asyncDispose]();
  }
  return true;
}

async function mtimeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
