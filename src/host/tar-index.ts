import { readSync } from 'node:fs';

import { KvciError } from '../core/errors.ts';
import { decodeName, decodePax, normalPath, XATTR_KEYWORD } from './tar-bytes.ts';
import type { TarEntry } from './tar.ts';

const BLOCK = 512;

/** Extended headers are some hundred bytes; what says more is damaged. */
const MAX_EXTENSION = 16 * 2 ** 20;

/** An entry of a tar that lies in a file, and where its content starts; files only. */
export type IndexedEntry = TarEntry & { readonly offset?: number };

const TYPES: Readonly<Record<string, TarEntry['type']>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};

/**
 * The entries of an uncompressed tar in a file, contents skipped: reading costs what the headers cost, however large the files are.
 * Formats are ustar, pax and GNU; entries and errors are those of `Tar.read`, but for what is stored sparse.
 *
 * Source: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
 *
 * @returns undefined for a tar with sparse files, or with entries of types that it does not know: `Tar.read` has the words for them
 * @throws KvciError `tar-damaged`
 */
export function indexTar(file: number): readonly IndexedEntry[] | undefined {
  const entries: IndexedEntry[] = [];
  let global: Readonly<Record<string, string>> = {};
  let next: Record<string, string> = {};
  for (let at = 0; ;) {
    const block = readAt(file, at, BLOCK);
    if (block.length === 0 || block.every((byte) => byte === 0)) return entries;
    const header = parseHeader(block);
    at += BLOCK;
    const extension = 'xgLK'.includes(header.type);
    if (extension) {
      if (header.size > MAX_EXTENSION) throw damaged();
      const bytes = readAt(file, at, header.size);
      if (bytes.length < header.size) throw damaged();
      if (header.type === 'g') global = { ...global, ...decodePax(bytes) };
      else if (header.type === 'x') next = { ...next, ...decodePax(bytes) };
      else next[header.type === 'L' ? 'path' : 'linkpath'] = cut(bytes).toString('latin1');
      at += padded(header.size);
      continue;
    }
    const pax = { ...global, ...next };
    next = {};
    const entry = entryOf(header, pax);
    if (entry === undefined) return undefined;
    const stored = number(pax['size'], header.size);
    entries.push(entry.type === 'file' ? { ...entry, size: stored, offset: at } : entry);
    if (entry.type !== 'directory') at += padded(stored);
  }
}

interface Header {
  readonly name: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly type: string;
  readonly linkname: Buffer;
  readonly device: { readonly major: number; readonly minor: number };
}

function parseHeader(block: Buffer): Header {
  if (block.length < BLOCK) throw damaged();
  let sum = 0;
  for (const [index, byte] of block.entries()) sum += index >= 148 && index < 156 ? 0x20 : byte;
  if (sum !== field(block, 148, 8)) throw damaged();
  const name = cut(block.subarray(0, 100));
  // GNU's own format has other things there.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? cut(block.subarray(345, 500)) : Buffer.alloc(0);
  const type = String.fromCharCode(block[156] ?? 0);
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]),
    mode: field(block, 100, 8) & 0o7777,
    uid: field(block, 108, 8),
    gid: field(block, 116, 8),
    size: field(block, 124, 12),
    mtime: field(block, 136, 12),
    // As tars were before there were types.
    type: type === '\0' && name.at(-1) === 0x2f ? '5' : type,
    linkname: cut(block.subarray(157, 257)),
    device: { major: field(block, 329, 8), minor: field(block, 337, 8) },
  };
}

function entryOf(header: Header, pax: Readonly<Record<string, string>>): TarEntry | undefined {
  const type = TYPES[header.type];
  if (type === undefined || Object.keys(pax).some((keyword) => keyword.startsWith('GNU.sparse.'))) return undefined;
  const linked = type === 'symlink' || type === 'hardlink';
  const target = nameOf(pax['linkpath'], header.linkname);
  return {
    path: normalPath(nameOf(pax['path'], header.name)),
    type,
    mode: header.mode,
    uid: number(pax['uid'], header.uid),
    gid: number(pax['gid'], header.gid),
    mtime: number(pax['mtime'], header.mtime),
    size: 0,
    ...(linked ? { linkname: type === 'hardlink' ? normalPath(target) : target } : {}),
    xattrs: Object.fromEntries(
      Object.entries(pax).flatMap(([keyword, value]) =>
        keyword.startsWith(XATTR_KEYWORD) ? [[nameOf(keyword.slice(XATTR_KEYWORD.length), Buffer.alloc(0)), value]] : [],
      ),
    ),
    ...(type === 'character-device' || type === 'block-device' ? { device: header.device } : {}),
  };
}

function readAt(file: number, at: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  let read = 0;
  for (let count = 1; read < length && count > 0; read += count) count = readSync(file, buffer, read, length - read, at + read);
  return buffer.subarray(0, read);
}

/** Up to the first zero byte. */
function cut(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

function nameOf(latin1: string | undefined, bytes: Buffer): string {
  return decodeName(latin1 === undefined ? bytes : Buffer.from(latin1, 'latin1'));
}

/** Octal digits, or two's complement in base 256 where GNU tar needs more room; 0 for an empty field. */
function field(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = first === 0xff ? -1 : first & 0x7f;
    for (const byte of block.subarray(at + 1, at + length)) value = value * 256 + byte;
    return safe(value);
  }
  const digits = block
    .toString('latin1', at, at + length)
    .replace(/\0.*$/s, '')
    .trim();
  if (!/^[0-7]*$/.test(digits)) throw damaged();
  return digits === '' ? 0 : safe(Number.parseInt(digits, 8));
}

function number(pax: string | undefined, ustar: number): number {
  return pax === undefined ? ustar : safe(Math.floor(Number(pax)));
}

function safe(value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw damaged();
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function damaged(): KvciError {
  return new KvciError('failed', 'tar-damaged', 'the tar cannot be read: it holds a malformed header');
}
