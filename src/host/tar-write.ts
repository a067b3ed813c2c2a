import { Buffer } from 'node:buffer';
import { Readable } from 'node:stream';

import { KvciError } from '../core/errors.ts';
import { encodeName, encodePax, XATTR_KEYWORD } from './tar-bytes.ts';
import type { TarEntry, TarEntryWithContent } from './tar.ts';

const BLOCK = 512;

/** Type flags of ustar. */
const TYPE_FLAGS: Readonly<Record<TarEntry['type'], string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

/**
 * The entries as a tar, in their order. Numbers and names that do not fit into ustar's fields go into PAX records, so that
 * every tool reads them; equal entries give equal bytes.
 *
 * Source: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header".
 */
export function writeTar(
  entries: AsyncIterable<TarEntryWithContent> | Iterable<TarEntryWithContent>,
  options: { readonly binaryNames?: boolean } = {},
): Readable {
  return Readable.from(chunksOf(entries, options.binaryNames === true), { objectMode: false });
}

async function* chunksOf(
  entries: AsyncIterable<TarEntryWithContent> | Iterable<TarEntryWithContent>,
  binaryNames: boolean,
): AsyncGenerator<Uint8Array> {
  for await (const entry of entries) {
    yield encodeHeader(entry, binaryNames);
    if (entry.type !== 'file' || entry.size === 0) continue;
    let left = entry.size;
    for await (const chunk of entry.content() as AsyncIterable<Uint8Array>) {
      left -= chunk.byteLength;
      if (left < 0) break;
      yield chunk;
    }
    if (left !== 0) {
      const message = `the content of ${JSON.stringify(entry.path)} is not ${entry.size} bytes long, as its entry says`;
      throw new KvciError('failed', 'tar-size-differs', message, { facts: { path: entry.path, size: entry.size } });
    }
    if (entry.size % BLOCK !== 0) yield Buffer.alloc(BLOCK - (entry.size % BLOCK));
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** The ustar header of an entry, behind an extended header where one is needed. */
function encodeHeader(entry: TarEntry, binaryNames: boolean): Buffer {
  const ascii = /^[\x20-\x7e]*$/.test(`${entry.path}${entry.linkname ?? ''}`);
  const pax: Record<string, string> = binaryNames && !ascii ? { hdrcharset: 'BINARY' } : {};
  const text = (keyword: string, value: string): string => {
    const plain = value.length <= 100 && /^[\x20-\x7e]*$/.test(value);
    if (!plain) pax[keyword] = encodeName(value).toString('latin1');
    return plain ? value : keyword;
  };
  const number = (keyword: string, value: number, digits: number): string => {
    const plain = value >= 0 && value < 8 ** digits;
    if (!plain) pax[keyword] = String(value);
    return octal(plain ? value : 0, digits);
  };
  const header = ustarBlock({
    name: text('path', entry.type === 'directory' ? `${entry.path}/` : entry.path),
    mode: octal(entry.mode, 7),
    uid: number('uid', entry.uid, 7),
    gid: number('gid', entry.gid, 7),
    size: number('size', entry.type === 'file' ? entry.size : 0, 11),
    mtime: number('mtime', entry.mtime, 11),
    type: TYPE_FLAGS[entry.type],
    linkname: text('linkpath', entry.linkname ?? ''),
    device: `${octal(entry.device?.major ?? 0, 7)}\0${octal(entry.device?.minor ?? 0, 7)}\0`,
  });
  for (const name of Object.keys(entry.xattrs).toSorted())
    pax[XATTR_KEYWORD + encodeName(name).toString('latin1')] = entry.xattrs[name] ?? '';
  if (Object.keys(pax).length === 0) return header;
  const records = encodePax(pax);
  const size = octal(records.length, 11);
  const extended = ustarBlock({
    name: 'PaxHeader',
    mode: octal(0o644, 7),
    uid: octal(0, 7),
    gid: octal(0, 7),
    size,
    mtime: octal(0, 11),
    type: 'x',
    linkname: '',
    device: '',
  });
  return Buffer.concat([extended, records, Buffer.alloc(-records.length & (BLOCK - 1)), header]);
}

interface UstarFields {
  readonly name: string;
  readonly mode: string;
  readonly uid: string;
  readonly gid: string;
  readonly size: string;
  readonly mtime: string;
  readonly type: string;
  readonly linkname: string;
  readonly device: string;
}

function ustarBlock(fields: UstarFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(fields.name, 0);
  // The checksum is taken with its own field as blanks.
  block.write(`${fields.mode}\0${fields.uid}\0${fields.gid}\0${fields.size}\0${fields.mtime}\0        ${fields.type}`, 100);
  block.write(fields.linkname, 157);
  block.write('ustar\x0000', 257);
  block.write(fields.device, 329);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
