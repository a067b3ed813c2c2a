import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import { removeTree, writeFileAtomic } from '../host/files.ts';
import type { Directories } from '../host/types.ts';
import { ChunkStore } from './kept.ts';
import { parseSnapshot, type SnapshotRecord } from './record.ts';

/**
 * The snapshots of a user. A record in `<state>/snapshots/NAME`, written last and removed first: what has no record is no snapshot.
 * The files that machines are started from lie in the cache, on the file system of the machines, so that these can link them: a
 * snapshot can be removed while clusters run that came from it.
 */
export class SnapshotStore {
  readonly #records: string;
  readonly #files: string;
  /** A lock that whoever removes chunks holds, and whoever puts some down until the record that has them is written. */
  readonly chunksLock: string;
  /** What is kept of all of them. */
  readonly chunks: ChunkStore;

  constructor(directories: Pick<Directories, 'state' | 'cache'>) {
    this.chunks = new ChunkStore(directories);
    this.chunksLock = join(directories.state, 'snapshot-chunks.lock');
    this.#records = join(directories.state, 'snapshots');
    this.#files = join(directories.cache, 'snapshots');
  }

  /** A lock that whoever makes or removes a snapshot of that name holds. */
  lock(name: string): string {
    return join(this.#records, `${name}.lock`);
  }

  /** The folder of all files; snapshots are folders in it. */
  get files(): string {
    return this.#files;
  }

  /** Where the files of a snapshot are. */
  folder({ name, id }: Pick<SnapshotRecord, 'name' | 'id'>): string {
    return join(this.#files, `${name}-${id}`);
  }

  path(name: string): string {
    return join(this.#records, name, 'snapshot.json');
  }

  /** @throws KvciError `snapshot-damaged`, `snapshot-of-another-version` */
  async find(name: string): Promise<SnapshotRecord | undefined> {
    const path = this.path(name);
    try {
      return parseSnapshot(await readFile(path, 'utf8'), path);
    } catch (error) {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  /** @throws KvciError `snapshot-not-found`, as {@link find} */
  async require(name: string): Promise<SnapshotRecord> {
    const found = await this.find(name);
    if (found !== undefined) return found;
    const names = await this.names();
    const suggestion = nearest(name, names);
    throw new KvciError('notFoundOrExists', 'snapshot-not-found', `there is no snapshot "${name}"`, {
      hint:
        suggestion !== undefined
          ? `Did you mean ${suggestion}?`
          : names.length === 0
            ? 'There is none at all; make one with "kvci snapshot save".'
            : `There ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}.`,
      facts: { snapshot: name },
    });
  }

  async names(): Promise<readonly string[]> {
    const entries = await readdir(this.#records, { withFileTypes: true }).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT')) return [];
      throw error;
    });
    return entries
      .filter((entry) => entry.isDirectory() && existsSync(this.path(entry.name)))
      .map(({ name }) => name)
      .toSorted();
  }

  /** In order of name; those that cannot be read as what is wrong with them. */
  async list(): Promise<readonly (SnapshotRecord | { readonly name: string; readonly error: KvciError })[]> {
    const all = (await this.names()).map(async (name) => {
      try {
        return await this.find(name);
      } catch (error) {
        if (error instanceof KvciError) return { name, error };
        throw error;
      }
    });
    return (await Promise.all(all)).filter((one) => one !== undefined);
  }

  async write(record: SnapshotRecord): Promise<void> {
    await mkdir(join(this.#records, record.name), { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.path(record.name), `${JSON.stringify(record)}\n`, 0o600);
  }

  /** Removes a snapshot. @param id undefined where its record cannot be read: then nobody knows its files */
  async remove(name: string, id: string | undefined): Promise<void> {
    await removeTree(join(this.#records, name));
    if (id !== undefined) await removeTree(this.folder({ name, id }));
  }
}

/** Tells one snapshot from the next of the same name. */
export function snapshotId(): string {
  return randomBytes(4).toString('hex');
}
