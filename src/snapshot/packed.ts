import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';

import { type Digest, hexOf } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { digestOfBytes, isZero } from './chunks.ts';
import { CHUNK } from './record.ts';

/*
 * What a chunk becomes on disk, and in a file that is carried elsewhere: a frame of zstd. A node's memory holds what it has read from its
 * disk and written to it, page by page, as does that of the next node: pages that another chunk has are left out of it. Then there stands
 * before the frame, which begins with where each page is:
 *
 *   "kvci", how many chunks it leans on (4 bytes), their digests (32 bytes each)
 *   in the frame: how many pages (2 bytes); of each, which of those chunks has it, or 0xffff, and at which place (2 bytes each); its own
 *
 * Whole numbers have their lowest byte first. Only a page that is a chunk's own is had from it: nothing is looked up twice.
 */

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Three times as fast as the next level that saves anything worth it, by measurement of memory of nodes. */
const LEVEL = 3;

/** Of memory, and the least that file systems put down in one piece. */
const PAGE = 4096;
const PAGES = CHUNK / PAGE;

const MARK = Buffer.from('kvci');
const OWN = 0xffff;

/** How many others a chunk may lean on: each is unpacked for it. */
const MOST_SOURCES = 64;

/** A page that another chunk has. */
interface Borrowed {
  readonly from: Digest;
  readonly page: number;
}

/** The pages of a chunk, in order. */
type Pages = readonly (Buffer | Borrowed)[];

/** A chunk as it is, all of it its own. */
export async function packChunk(bytes: Uint8Array): Promise<Buffer> {
  return compress(bytes, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
}

/** A chunk without the pages that others have. */
export async function packPages(pages: Pages): Promise<Buffer> {
  const own = pages.filter((page) => Buffer.isBuffer(page));
  if (own.length === pages.length) return packChunk(Buffer.concat(own));
  const sources = [...new Set(pages.flatMap((page) => (Buffer.isBuffer(page) ? [] : [page.from])))];
  const head = Buffer.alloc(MARK.length + 4);
  MARK.copy(head);
  head.writeUInt32LE(sources.length, MARK.length);
  const places = Buffer.alloc(2 + 4 * pages.length);
  places.writeUInt16LE(pages.length);
  for (const [index, page] of pages.entries()) {
    const at = 2 + 4 * index;
    places.writeUInt16LE(Buffer.isBuffer(page) ? OWN : sources.indexOf(page.from), at);
    places.writeUInt16LE(Buffer.isBuffer(page) ? 0 : page.page, at + 2);
  }
  const digests = sources.map((digest) => Buffer.from(hexOf(digest), 'hex'));
  return Buffer.concat([head, ...digests, await packChunk(Buffer.concat([places, ...own]))]);
}

/** The chunks that a packed one leans on. */
export function sourcesOf(packed: Buffer): readonly Digest[] {
  if (!packed.subarray(0, MARK.length).equals(MARK) || packed.length < MARK.length + 4) return [];
  const count = Math.min(packed.readUInt32LE(MARK.length), MOST_SOURCES);
  return Array.from({ length: count }, (_, index) => {
    const at = MARK.length + 4 + 32 * index;
    return `sha256:${packed.subarray(at, at + 32).toString('hex')}` as const;
  });
}

/** @throws whatever is wrong with it */
async function pagesOf(packed: Buffer): Promise<Pages> {
  const sources = sourcesOf(packed);
  if (sources.length === 0) return split(await decompress(packed, { maxOutputLength: CHUNK }));
  const frame = packed.subarray(MARK.length + 4 + 32 * sources.length);
  const bytes = await decompress(frame, { maxOutputLength: CHUNK + 2 + 4 * PAGES });
  const count = bytes.readUInt16LE(0);
  let own = 2 + 4 * count;
  return Array.from({ length: count }, (_, index) => {
    const source = bytes.readUInt16LE(2 + 4 * index);
    if (source === OWN) return bytes.subarray(own, (own += PAGE));
    const from = sources[source];
    if (from === undefined) throw new RangeError(`leans on chunk ${source} of ${sources.length}`);
    return { from, page: bytes.readUInt16LE(4 + 4 * index) };
  });
}

function split(bytes: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / PAGE) }, (_, index) => bytes.subarray(index * PAGE, (index + 1) * PAGE));
}

/** How many chunks that others lean on are held in memory, unpacked. */
const HELD = 64;

/** Unpacks chunks, those that they lean on with them. */
export class Unpacker {
  readonly #read: (digest: Digest) => Promise<Buffer>;
  readonly #held = new Map<Digest, Promise<Pages>>();

  /** @param read a packed chunk */
  constructor(read: (digest: Digest) => Promise<Buffer>) {
    this.#read = read;
  }

  /** @throws KvciError `snapshot-damaged` where it is not the chunk of that digest, or one that it leans on is not there */
  async unpack(digest: Digest, packed: Buffer, where: string): Promise<Buffer<ArrayBuffer>> {
    try {
      const pages = await pagesOf(packed);
      const bytes = Buffer.concat(
        await Promise.all(pages.map(async (page) => (Buffer.isBuffer(page) ? page : await this.#borrowed(page)))),
      );
      if ((await digestOfBytes(bytes)) === digest) return bytes;
    } catch (error) {
      throw damaged(where, error);
    }
    throw damaged(where);
  }

  async #borrowed({ from, page }: Borrowed): Promise<Buffer> {
    const held = this.#held.get(from) ?? this.#read(from).then(pagesOf);
    // It may be there when it is asked for again.
    held.catch(() => this.#held.delete(from));
    // What was asked for last goes last.
    this.#held.delete(from);
    this.#held.set(from, held);
    const [oldest] = this.#held.keys();
    if (this.#held.size > HELD && oldest !== undefined) this.#held.delete(oldest);
    const found = (await held)[page];
    if (Buffer.isBuffer(found)) return found;
    throw new RangeError(`page ${page} of ${from} is none of its own`);
  }
}

/** The pages that the chunks of a snapshot have, each in the first of them. */
export class SharedPages {
  /** By their digests. */
  readonly #known = new Map<string, Borrowed>();

  /** The pages of a new chunk: what one before has is borrowed from it, the rest can be borrowed from this one. */
  share(digest: Digest, bytes: Buffer): Pages {
    const sources = new Set<Digest>();
    const pages = split(bytes).map((page) => {
      const known = page.length < PAGE || isZero(page) ? undefined : this.#known.get(digestOfPage(page));
      if (known === undefined || (sources.size === MOST_SOURCES && !sources.has(known.from))) return page;
      sources.add(known.from);
      return known;
    });
    this.#add(digest, pages);
    return pages;
  }

  /** Takes note of a chunk that is packed already. */
  async addPacked(digest: Digest, packed: Buffer): Promise<void> {
    this.#add(digest, await pagesOf(packed));
  }

  #add(from: Digest, pages: Pages): void {
    for (const [page, bytes] of pages.entries()) {
      if (!Buffer.isBuffer(bytes) || bytes.length < PAGE || isZero(bytes)) continue;
      const key = digestOfPage(bytes);
      if (!this.#known.has(key)) this.#known.set(key, { from, page });
    }
  }
}

/** A letter a byte: there are a million of them. */
function digestOfPage(page: Buffer): string {
  return hash('sha256', page, 'binary');
}

function damaged(where: string, cause?: unknown): KvciError {
  return new KvciError('failed', 'snapshot-damaged', `${where} is damaged`, {
    hint: 'What it belongs to cannot be used any more: remove the snapshot, and make or import it anew.',
    facts: { file: where },
    ...(cause === undefined ? {} : { cause }),
  });
}
