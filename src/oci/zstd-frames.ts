import { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';

import { KvciError } from '../core/errors.ts';
import { drain, rechunk, through } from './streams.ts';

const FRAME = 0xfd2fb528;
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];

/**
 * Decompresses a whole zstd stream, which is any number of frames: `zstd:chunked` layers have one a file. Node 24's decompressor
 * ends silently after the first frame, so the frames are told apart here and each gets a decompressor of its own.
 *
 * Source: RFC 8878, sections 3.1.1 and 3.1.2.
 *
 * @throws KvciError `layer-damaged`, and node's own errors for bad content of a frame
 */
export async function* decompressZstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = new ByteReader(chunks[Symbol.asyncIterator]());
  while (!(await input.atEnd())) {
    const magic = await input.take(4);
    const word = magic.readUInt32LE();
    if (word >>> 4 === 0x184d2a5) {
      const size = (await input.take(4)).readUInt32LE();
      await drain(input.pass(size));
      continue;
    }
    if (word !== FRAME) throw new KvciError('failed', 'layer-damaged', 'compressed data is damaged: no zstd frame where one should start');
    const source = Readable.from(rechunk(frame(magic, input)), { objectMode: false, highWaterMark: 256 * 1024 });
    yield* through(source, () => createZstdDecompress({ chunkSize: 256 * 1024 }));
  }
}

/** The bytes of one frame: header, blocks up to the last, checksum. */
async function* frame(magic: Buffer, input: ByteReader): AsyncGenerator<Uint8Array> {
  const descriptor = await input.take(1);
  const flags = descriptor[0] ?? 0;
  const single = (flags >> 5) & 1;
  const sizeCode = flags >> 6;
  const header = 1 - single + (DICTIONARY_BYTES[flags & 3] ?? 0) + (sizeCode === 0 ? single : (CONTENT_SIZE_BYTES[sizeCode] ?? 0));
  yield Buffer.concat([magic, descriptor, await input.take(header)]);
  for (let last = false; !last;) {
    const block = await input.take(3);
    const word = block.readUIntLE(0, 3);
    last = (word & 1) === 1;
    yield block;
    // A run-length block stores one byte whatever its size says.
    yield* input.pass(((word >> 1) & 3) === 1 ? 1 : word >> 3);
  }
  if (((flags >> 2) & 1) === 1) yield await input.take(4);
}

/** Takes exact numbers of bytes off a stream of chunks. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  async atEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return true;
      this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    return false;
  }

  /** Few bytes, together. */
  async take(count: number): Promise<Buffer> {
    if (this.#rest.length >= count) {
      const taken = this.#rest.subarray(0, count);
      this.#rest = this.#rest.subarray(count);
      return taken;
    }
    const pieces: Buffer[] = [];
    for await (const piece of this.pass(count)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** Any number of bytes, as they come. */
  async *pass(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0;) {
      if (await this.atEnd()) throw new KvciError('failed', 'layer-damaged', 'compressed data ends early');
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
}
