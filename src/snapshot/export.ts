import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { type Digest, hexOf, sha256 } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { checkOutput } from '../disk/output.ts';
import { asDiskFull, temporaryName } from '../host/files.ts';
import type { TarEntryWithContent } from '../host/tar.ts';
import { digestChunks, readChunk } from './chunks.ts';
import { chunksOf } from './kept.ts';
import { packChunk, sourcesOf } from './packed.ts';
import type { SnapshotPorts } from './ports.ts';
import { CHUNK, type SavedFile, type SnapshotRecord } from './record.ts';

/** The record in the file, and the digest of it that stands before. */
export const RECORD_ENTRY = 'snapshot.json';
export const DIGEST_ENTRY = 'snapshot.json.sha256';
export const CHUNKS_FOLDER = 'chunks/';

/** Where the files outside of a snapshot lie once they have become its own. */
export const OUTSIDE = 'outside';

export interface Exported {
  readonly file: string;
  /** Bytes of it. */
  readonly size: number;
}

/**
 * Writes a snapshot into one file, with the disk that it stands on: a tar of its record and its compressed chunks, each named by its
 * digest. It holds keys, and is its owner's alone.
 *
 * @throws KvciError `snapshot-not-found`, `snapshot-damaged`, `snapshot-needs-disk`, `file-exists`, `disk-full`
 */
export async function exportSnapshot(
  name: string,
  file: string,
  ports: Pick<SnapshotPorts, 'snapshots' | 'locks' | 'tar'>,
  run: Pick<RunContext, 'signal'>,
): Promise<Exported> {
  await using _lock = await ports.locks.shared(ports.snapshots.lock(name), { signal: run.signal });
  const record = await ports.snapshots.require(name);
  await checkOutput(file);
  const outside = await outsideFiles(record, run.signal);
  const temporary = temporaryName(file);
  try {
    const entries = entriesOf(record, outside, ports, run.signal);
    const stream = createWriteStream(temporary, { flags: 'wx', mode: 0o600 });
    await pipeline(ports.tar.write(entries), stream, { signal: run.signal });
    await rename(temporary, file);
    return { file, size: stream.bytesWritten };
  } catch (error) {
    await rm(temporary, { force: true });
    throw asDiskFull(error, file);
  }
}

/** Files outside with their chunks, as they are here. */
async function outsideFiles(
  { name, outside }: SnapshotRecord,
  signal: AbortSignal,
): Promise<readonly (SavedFile & { readonly from: string })[]> {
  return Promise.all(
    outside.map(async ({ path, size }) => {
      const chunks = await digestChunks(path, size, undefined, signal).catch((error: unknown) => {
        throw new KvciError('failed', 'snapshot-needs-disk', `the snapshot "${name}" stands on ${path}, which cannot be read`, {
          cause: error,
        });
      });
      return { path: `${OUTSIDE}/${basename(path)}`, from: path, size, chunks };
    }),
  );
}

async function* entriesOf(
  record: SnapshotRecord,
  outside: readonly (SavedFile & { readonly from: string })[],
  { snapshots: { chunks: store } }: Pick<SnapshotPorts, 'snapshots'>,
  signal: AbortSignal,
): AsyncGenerator<TarEntryWithContent> {
  const files = [...record.files, ...outside.map(({ path, size, chunks }) => ({ path, size, chunks }))];
  const text = Buffer.from(JSON.stringify({ ...record, files, imported: true }));
  yield entry(DIGEST_ENTRY, Buffer.from(`${hexOf(sha256(text))}\n`));
  yield entry(RECORD_ENTRY, text);
  const written = new Set<Digest>();
  const unpacker = store.unpacker();
  /** After those that it leans on: whoever reads the file has them by then. */
  const withSources = async function* (digest: Digest): AsyncGenerator<TarEntryWithContent> {
    if (written.has(digest)) return;
    written.add(digest);
    const packed = await store.readPacked(digest);
    // Damage is told here, not where the file is read.
    await unpacker.unpack(digest, packed, store.path(digest));
    for (const source of sourcesOf(packed)) yield* withSources(source);
    yield entry(`${CHUNKS_FOLDER}${hexOf(digest)}`, packed);
  };
  for (const digest of chunksOf(record.files)) yield* withSources(digest);
  for (const { from, chunks } of outside) {
    await using file = await open(from);
    for (const [index, digest] of chunks.entries()) {
      if (digest === null || written.has(digest)) continue;
      signal.throwIfAborted();
      written.add(digest);
      yield entry(`${CHUNKS_FOLDER}${hexOf(digest)}`, await packChunk(await readChunk(file, index, Buffer.allocUnsafe(CHUNK))));
    }
  }
}

function entry(path: string, content: Buffer): TarEntryWithContent {
  return {
    ...{ path, type: 'file', mode: 0o600, uid: 0, gid: 0, mtime: 0, size: content.length, xattrs: {} },
    content: () => Readable.from([content]),
  };
}
