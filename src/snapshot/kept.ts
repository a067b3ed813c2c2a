import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';

import { type Digest, hexOf } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull, removeTree, temporaryName, writeFileAtomic } from '../host/files.ts';
import { digestOfBytes, eachChunk, readChunk } from './chunks.ts';
import { CHUNK, type SavedFile, type SnapshotRecord } from './record.ts';
import { rememberRight } from './verify.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Three times as fast as the next level that saves anything worth it, by measurement of memory of nodes. */
const LEVEL = 3;

/** What a chunk becomes on disk, and in a file that is carried elsewhere. */
export async function packChunk(bytes: Uint8Array): Promise<Buffer> {
  return compress(bytes, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
}

/** @throws KvciError `snapshot-damaged` where it is not the chunk of that digest */
export async function unpackChunk(digest: Digest, packed: Uint8Array, where: string): Promise<Buffer<ArrayBuffer>> {
  const bytes = await decompress(packed, { maxOutputLength: CHUNK }).catch(() => undefined);
  if (bytes !== undefined && (await digestOfBytes(Buffer.from(bytes))) === digest) return Buffer.from(bytes);
  throw new KvciError('failed', 'snapshot-damaged', `${where} is damaged`, {
    hint: 'What it belongs to cannot be used any more: remove the snapshot, and make or import it anew.',
    facts: { file: where },
  });
}

/**
 * The kept form of snapshots: each chunk once, whichever snapshots have it, compressed, by its digest. Chunks of zeros are none.
 * The form that machines are started from can be made of it again.
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

  /** Removes what no snapshot has any more, younger ones aside: their snapshot is about to be written. Answers bytes. */
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
export async function keepChunks(
  store: ChunkStore,
  folder: string,
  files: readonly SavedFile[],
  now: number,
  signal: AbortSignal,
): Promise<void> {
  for (const { path, chunks } of files) {
    await using file = await open(join(folder, path));
    const indexes = chunks.flatMap((digest, index) => (digest === null ? [] : [index]));
    await eachChunk(
      indexes,
      async (index, buffer) => {
        const digest = chunks[index];
        if (digest === undefined || digest === null) return;
        if (await store.has(digest)) {
          // Whoever removes what is unused leaves what is young alone.
          await utimes(store.path(digest), now / 1000, now / 1000);
          return;
        }
        await store.putPacked(digest, await packChunk(await readChunk(file, index, buffer)));
      },
      signal,
    );
  }
}

/**
 * Makes the files of a snapshot that machines are started from, of what is kept.
 *
 * @param folder not there yet
 * @throws KvciError `snapshot-damaged`, `disk-full`
 */
export async function makeRunnable(
  store: ChunkStore,
  folder: string,
  { files }: Pick<SnapshotRecord, 'files'>,
  signal: AbortSignal,
): Promise<void> {
  const partial = temporaryName(folder);
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
          const bytes = await unpackChunk(digest, await store.readPacked(digest), store.path(digest));
          await file.write(bytes, 0, bytes.length, index * CHUNK);
        },
        signal,
      );
    }
    await rememberRight(
      partial,
      files.map(({ path }) => path),
    );
    await rename(partial, folder);
  } catch (error) {
    await removeTree(partial);
    throw asDiskFull(error, folder);
  }
}
