import { Readable } from 'node:stream';
import { constants, createGunzip, createGzip, createZstdCompress } from 'node:zlib';

import { KvciError, messageOf } from '../core/errors.ts';
import { through } from './streams.ts';
import { MEDIA_TYPES } from './types.ts';
import { decompressZstd } from './zstd-frames.ts';

export type Compression = 'zstd' | 'gzip' | 'none';

export const LAYER_MEDIA_TYPES: Readonly<Record<Compression, string>> = {
  zstd: MEDIA_TYPES.layerZstd,
  gzip: MEDIA_TYPES.layerGzip,
  none: MEDIA_TYPES.layer,
};

/** Bytes of output that zlib hands over at once. */
const CHUNK = 256 * 1024;

const DEFAULT_LEVELS: Readonly<Record<Compression, number>> = { zstd: 9, gzip: 6, none: 0 };

/**
 * The bytes compressed; the same bytes, level and node give the same result. One thread each: node 24's zlib ends a stream of
 * zstd's own worker threads too early, so several layers are compressed at the same time instead.
 */
export function compress(source: Readable, compression: Compression, level = DEFAULT_LEVELS[compression]): Readable {
  if (compression === 'none') return source;
  return Readable.from(
    through(source, () =>
      compression === 'gzip'
        ? createGzip({ level, chunkSize: CHUNK })
        : createZstdCompress({
            chunkSize: CHUNK,
            params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
          }),
    ),
    { objectMode: false },
  );
}

/** What the bytes are compressed with, by their first four. */
export function compressionOf(magic: Uint8Array): Compression {
  if (magic[0] === 0x1f && magic[1] === 0x8b) return 'gzip';
  const word = Buffer.concat([magic, Buffer.alloc(4)]).readUInt32LE();
  // A zstd frame or a skippable frame, with which a zstd stream may start.
  if (word === 0xfd2fb528 || word >>> 4 === 0x184d2a5) return 'zstd';
  return 'none';
}

/**
 * The bytes without their compression, whatever it is: media types are not always told right.
 *
 * The stream fails with `layer-damaged` when they end early or are no such stream, and with the source's error as it is.
 */
export function decompress(source: Readable): Readable {
  return Readable.from(decompressed(source), { objectMode: false });
}

async function* decompressed(source: Readable): AsyncGenerator<Uint8Array> {
  let failure: Error | undefined;
  const chunks = keepError(source as AsyncIterable<Uint8Array>, (error) => (failure = error))[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const all = prepend(head, chunks);
  try {
    const compression = compressionOf(head);
    if (compression === 'none') yield* all;
    else if (compression === 'zstd') yield* decompressZstd(all);
    else yield* through(Readable.from(all, { objectMode: false }), () => createGunzip({ chunkSize: CHUNK }));
  } catch (error) {
    if (failure !== undefined) throw failure;
    if (error instanceof KvciError) throw error;
    throw new KvciError('failed', 'layer-damaged', 'compressed data is damaged or ends early', { cause: error });
  } finally {
    source.destroy();
  }
}

async function* keepError(chunks: AsyncIterable<Uint8Array>, keep: (error: Error) => void): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    keep(error instanceof Error ? error : new Error(messageOf(error)));
    throw error;
  }
}

async function* prepend(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
