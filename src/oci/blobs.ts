import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { access, mkdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';

import { type Digest, hexOf } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull } from '../host/files.ts';
import { type ImageLayout, TEMPORARY } from './layout.ts';
import type { Descriptor } from './types.ts';

/** What is known of a blob: its digest, and its size where a descriptor tells it. */
export type BlobId = Pick<Descriptor, 'digest'> & Partial<Pick<Descriptor, 'size'>>;

/** Manifests, indexes and configs are read whole; the distribution specification asks servers to take 4 MiB. */
const MAX_DOCUMENT = 16 * 2 ** 20;

export function blobPath(layout: Pick<ImageLayout, 'path'>, digest: Digest): string {
  return join(layout.path, 'blobs', 'sha256', hexOf(digest));
}

export async function hasBlob(layout: Pick<ImageLayout, 'path'>, blob: BlobId): Promise<boolean> {
  try {
    const { size } = await stat(blobPath(layout, blob.digest));
    return blob.size === undefined || blob.size === size;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** {@link hasBlob}, for who is about to rely on the blob: garbage collection leaves it as if it had just been written. */
export async function keepBlob(layout: Pick<ImageLayout, 'path'>, blob: BlobId): Promise<boolean> {
  if (!(await hasBlob(layout, blob))) return false;
  const now = await temporaryPath(layout);
  try {
    // The time of the file system, which need not be this host's.
    await writeFile(now, '');
    await touch(blobPath(layout, blob.digest), (await stat(now)).mtime);
  } finally {
    await rm(now, { force: true });
  }
  return true;
}

/**
 * Writes a blob by a temp name and a rename, so that it is there whole or not at all; what is there already stays.
 *
 * @throws KvciError `digest-mismatch` when `expected` is given and other bytes came; `disk-full`; the source's error as it is
 */
export async function putBlob(
  layout: Pick<ImageLayout, 'path'>,
  source: Uint8Array | AsyncIterable<Uint8Array>,
  expected?: BlobId,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const temporary = await temporaryPath(layout);
  try {
    const chunks = source instanceof Uint8Array ? [source] : source;
    const tally = new Tally();
    await pipeline(Readable.from(tally.pass(chunks), { objectMode: false }), createWriteStream(temporary, { flags: 'wx', mode: 0o644 }));
    const written = tally.result();
    if (expected !== undefined) checkBlob(expected, written);
    if (await hasBlob(layout, written)) await touch(blobPath(layout, written.digest), (await stat(temporary)).mtime);
    else await rename(temporary, blobPath(layout, written.digest));
    return written;
  } catch (error) {
    throw asDiskFull(error, layout.path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** A name in the layout's own temp folder, which is made when other tools wrote the layout. */
export async function temporaryPath(layout: Pick<ImageLayout, 'path'>): Promise<string> {
  await mkdir(join(layout.path, TEMPORARY), { recursive: true });
  return join(layout.path, TEMPORARY, randomBytes(8).toString('hex'));
}

/**
 * The blob's bytes; the stream fails with `digest-mismatch` at its end when they are not what the digest says.
 *
 * @throws KvciError `blob-missing`
 */
export async function openBlob(layout: Pick<ImageLayout, 'path'>, blob: BlobId): Promise<Readable> {
  const path = blobPath(layout, blob.digest);
  try {
    await access(path);
  } catch (cause) {
    throw new KvciError('notFoundOrExists', 'blob-missing', `the image layout ${layout.path} lacks the blob ${blob.digest}`, { cause });
  }
  return Readable.from(verified(createReadStream(path, { highWaterMark: 256 * 1024 }), blob), { objectMode: false });
}

/**
 * A small blob whole: a manifest, an index, a config.
 *
 * @throws KvciError `blob-missing`, `digest-mismatch`, `oci-malformed` for one that is absurdly large
 */
export async function readBlob(layout: Pick<ImageLayout, 'path'>, blob: BlobId): Promise<Buffer> {
  const size = (await hasBlob(layout, { digest: blob.digest })) ? (await stat(blobPath(layout, blob.digest))).size : 0;
  if (size > MAX_DOCUMENT)
    throw new KvciError('failed', 'oci-malformed', `the blob ${blob.digest} is too large for a manifest: ${size} bytes`);
  return buffer(await openBlob(layout, blob));
}

/** Passes the bytes on and fails after the last of them when they are not the blob's. */
export async function* verified(chunks: AsyncIterable<Uint8Array>, expected: BlobId): AsyncGenerator<Uint8Array> {
  const tally = new Tally();
  yield* tally.pass(chunks);
  checkBlob(expected, tally.result());
}

/** Digest and size of bytes on their way. */
export class Tally {
  readonly #hash = createHash('sha256');
  #size = 0;

  async *pass(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#hash.update(chunk);
      this.#size += chunk.byteLength;
      yield chunk;
    }
  }

  /** Once, after all bytes have passed. */
  result(): { readonly digest: Digest; readonly size: number } {
    return { digest: `sha256:${this.#hash.digest('hex')}`, size: this.#size };
  }
}

function checkBlob(expected: BlobId, found: { readonly digest: Digest; readonly size: number }): void {
  if (expected.digest === found.digest && (expected.size === undefined || expected.size === found.size)) return;
  const size = expected.size === undefined || expected.size === found.size ? '' : ` (${expected.size} bytes expected, ${found.size} came)`;
  throw new KvciError('failed', 'digest-mismatch', `expected ${expected.digest}, got ${found.digest}${size}`, {
    hint: 'The blob is damaged or was cut off on its way; remove it and get it again.',
    facts: { expected: expected.digest, found: found.digest },
  });
}

/** Marks a blob as just written, so that garbage collection by another process leaves it. */
async function touch(path: string, time: Date): Promise<void> {
  try {
    await utimes(path, time, time);
  } catch (error) {
    // A blob of somebody else in a shared cache.
    if (!hasErrno(error, 'EPERM', 'EROFS')) throw error;
  }
}
