import { Buffer, isUtf8 } from 'node:buffer';

import { KvciError } from '../core/errors.ts';

/** Keyword of an extended attribute in PAX records, as star, GNU tar, Go and every engine write it. */
export const XATTR_KEYWORD = 'SCHILY.xattr.';

/**
 * A file name from its bytes. Linux names are bytes, almost always UTF-8; each byte that is not part of valid UTF-8 becomes a
 * lone surrogate U+DC80..U+DCFF, as Python's `surrogateescape` (PEP 383) does, and {@link encodeName} turns it back.
 */
export function decodeName(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return Buffer.from(bytes).toString('utf8');
  let name = '';
  for (let start = 0; start < bytes.length;) {
    const length = [1, 2, 3, 4].find((count) => start + count <= bytes.length && isUtf8(bytes.subarray(start, start + count)));
    name +=
      length === undefined
        ? String.fromCharCode(0xdc00 + (bytes[start] ?? 0))
        : Buffer.from(bytes.subarray(start, start + length)).toString('utf8');
    start += length ?? 1;
  }
  return name;
}

/** The bytes of a name that {@link decodeName} gave, or of any other string as UTF-8. */
export function encodeName(name: string): Buffer {
  if (name.isWellFormed()) return Buffer.from(name, 'utf8');
  return Buffer.concat(
    Array.from(name, (character) => {
      const code = character.charCodeAt(0);
      return character.length === 1 && code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character, 'utf8');
    }),
  );
}

/**
 * The path of an entry without `./`, a leading `/`, a trailing `/` and doubled slashes; `.` for the root.
 *
 * @throws KvciError `tar-damaged` for a path that leads out of the tree
 */
export function normalPath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..'))
    throw new KvciError('failed', 'tar-damaged', `the tar holds the path ${JSON.stringify(name)}, which leads out of its tree`);
  return parts.length === 0 ? '.' : parts.join('/');
}

/**
 * PAX extended header records by keyword, values as bytes in latin1: xattrs are binary.
 * Source: POSIX.1-2024, pax, "pax Extended Header".
 *
 * @throws KvciError `tar-damaged`
 */
export function decodePax(bytes: Uint8Array): Record<string, string> {
  const text = Buffer.from(bytes).toString('latin1');
  const records: Record<string, string> = {};
  for (let at = 0; at < text.length;) {
    const length = /^(\d{1,9}) /.exec(text.slice(at, at + 10))?.[1];
    const end = at + Number(length);
    const equals = length === undefined ? -1 : text.indexOf('=', at + length.length + 1);
    if (length === undefined || end > text.length || text[end - 1] !== '\n' || equals === -1 || equals >= end)
      throw new KvciError('failed', 'tar-damaged', 'the tar has a malformed PAX header');
    records[text.slice(at + length.length + 1, equals)] = text.slice(equals + 1, end - 1);
    at = end;
  }
  return records;
}

/** The records of {@link decodePax} as bytes, in the order given. */
export function encodePax(records: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(records).map(([keyword, value]) => {
    const rest = ` ${keyword}=${value}\n`;
    // The length counts its own digits.
    const guess = rest.length + String(rest.length).length;
    const length = rest.length + String(guess).length;
    return `${length}${rest}`;
  });
  return Buffer.from(text.join(''), 'latin1');
}
