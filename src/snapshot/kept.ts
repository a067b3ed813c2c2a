import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type Digest, hexOf } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull, removeTree, temporaryName, writeFileAtomic } from '../host/files.ts';
import { eachChunk, readChunk } from './chunks.ts';
import { packChunk, packPages, SharedPages, sourcesOf, Unpacker } from './packed.ts';
import { CHUNK, type SavedFile, type SnapshotRecord } from './record.ts';
import { rememberRight } from './verify.ts';

/**
 * The kept form of snapshots: each chunk once, whichever snapshots have it, compressed, by its digest. Chunks of zeros are none.
 * The form that machines are started from can be made of it again. Chunks that one leans on are those of each snapshot that has it.
 */
export class ChunkStore {
  readonly #folder: string;

  constructor({ state }: { readonly state: string }) {
    this.#folder = join(state, 'snapshot-chunks');
  }

  path(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.#folder, hex.slice(0, 2), `${hex}.zst`);
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.size(digest)) !== undefined;
  }

  /** Bytes as it is kept; undefined where it is not. */
  async size(digest: Digest): Promise<number | undefined> {
    return stat(this.path(digest)).then(
      ({ size }) => size,
      (error: unknown) => {
        if (hasErrno(error, 'ENOENT')) return undefined;
        throw error;
      },
    );
  }

  async putPacked(digest: Digest, packed: Uint8Array): Promise<void> {
    const path = this.path(digest);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, packed, 0o600);
  }

  async readPacked(digest: Digest): Promise<Buffer> {
    return readFile(this.path(digest)).catch((error: unknown) => {
      if (!hasErrno(error, 'ENOENT')) throw error;
      throw new KvciError('failed', 'snapshot-damaged', `${this.path(digest)} is not there`, { facts: { file: this.path(digest) } });
    });
  }

  /** To unpack chunks of it, and others that lean on those. */
  unpacker(): Unpacker {
    return new Unpacker((digest) => this.readPacked(digest));
  }

  /**
   * Whether a chunk is there, whole, for another snapshot to have. One that leans on chunks that this one does not have is made to stand by
   * itself.
   *
   * @param all chunks of the snapshot
   */
  async hasFor(digest: Digest, all: ReadonlySet<Digest>, unpacker: Unpacker): Promise<boolean> {
    if (!(await this.has(digest))) return false;
    try {
      const packed = await this.readPacked(digest);
      const bytes = await unpacker.unpack(digest, packed, this.path(digest));
      if (sourcesOf(packed).some((source) => !all.has(source))) await this.putPacked(digest, await packChunk(bytes));
      return true;
    } catch (error) {
      if (error instanceof KvciError && error.code === 'snapshot-damaged') return false;
      throw error;
    }
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /** Removes what no snapshot has any more, younger ones aside. Answers bytes. */
  async removeUnused(used: ReadonlySet<string>, before: number): Promise<number> {
    let freed = 0;
    const folders = await readdir(this.#folder).catch(() => []);
    for (const folder of folders) {
      for (const file of await readdir(join(this.#folder, folder))) {
        if (used.has(file.replace(/\.zst$/, ''))) continue;
        const path = join(this.#folder, folder, file);
        const { size, mtimeMs } = await stat(path);
        if (mtimeMs >= before) continue;
        await rm(path, { force: true });
        freed += size;
      }
    }
    return freed;
  }
}

/** Digests of all chunks of some files, each once. */
export function chunksOf(files: readonly Pick<SavedFile, 'chunks'>[]): readonly Digest[] {
  return [...new Set(files.flatMap(({ chunks }) => chunks.filter((digest) => digest !== null)))];
}

/** Puts all chunks of a snapshot into the store that it does not have. @param folder with its files */
export async function keepChunks(store: ChunkStore, folder: string, files: readonly SavedFile[], signal: AbortSignal): Promise<void> {
  const all = new Set(chunksOf(files));
  const begun = new Set<Digest>();
  const shared = new SharedPages();
  const unpacker = store.unpacker();
  for (const { path, chunks } of files) {
    await using file = await open(join(folder, path));
    const indexes = chunks.flatMap((digest, index) => (digest === null ? [] : [index]));
    // One after the other they tell of their pages: whatever leans on another comes after it.
    let turn = Promise.resolve();
    await eachChunk(
      indexes,
      async (index, buffer) => {
        const digest = chunks[index];
        if (digest === undefined || digest === null || begun.has(digest)) return;
        begun.add(digest);
        const mine = turn;
        const told = Promise.withResolvers<undefined>();
        turn = told.promise.then(() => undefined);
        try {
          if (await store.hasFor(digest, all, unpacker)) {
            await mine;
            await shared.addPacked(digest, await store.readPacked(digest));
            return;
          }
          const bytes = await readChunk(file, index, buffer);
          await mine;
          const pages = shared.share(digest, bytes);
          told.resolve(undefined);
          // Others may lean on any page of one that is there and damaged.
          await store.putPacked(digest, (await store.has(digest)) ? await packChunk(bytes) : await packPages(pages));
        } finally {
          told.resolve(undefined);
        }
      },
      signal,
    );
  }
}

/**
 * Makes the files of a snapshot that machines are started from, of what is kept.
 *
 * @param folder what is there gives way once they are whole
 * @throws KvciError `snapshot-damaged`, `disk-full`
 */
export async function makeRunnable(
  store: ChunkStore,
  folder: string,
  { files }: Pick<SnapshotRecord, 'files'>,
  signal: AbortSignal,
): Promise<void> {
  const partial = temporaryName(folder);
  const unpacker = store.unpacker();
  try {
    for (const { path, size, chunks } of files) {
      await mkdir(dirname(join(partial, path)), { recursive: true, mode: 0o700 });
      await using file = await open(join(partial, path), 'wx', 0o600);
      await file.truncate(size);
      await eachChunk(
        chunks.flatMap((digest, index) => (digest === null ? [] : [index])),
        async (index) => {
          const digest = chunks[index];
          if (digest === undefined || digest === null) return;
          const bytes = await unpacker.unpack(digest, await store.readPacked(digest), store.path(digest));
          await file.write(bytes, 0, bytes.length, index * CHUNK);
        },
        signal,
      );
    }
    await rememberRight(
      partial,
      files.map(({ path }) => path),
    );
    await removeTree(folder);
    await rename(partial, folder);
  } catch (error) {
    await removeTree(partial);
    throw asDiskFull(error, folder);
  }
}
