import { Buffer } from 'node:buffer';
import { Readable } from 'node:stream';
import * as tarStream from 'tar-stream';

import { KvciError, messageOf } from '../../core/errors.ts';
import { XATTR_KEYWORD, decodeName, decodePax, normalPath } from '../tar-bytes.ts';
import { sparseContent } from '../tar-sparse.ts';
import { writeTar } from '../tar-write.ts';
import type { Tar, TarReadEntry } from '../tar.ts';

const TYPES = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'hardlink',
  'character-device': 'character-device',
  'block-device': 'block-device',
  fifo: 'fifo',
} as const;

/** What tar-stream's headers hold beyond its published types. */
interface RawHeader extends Omit<tarStream.Header, 'pax' | 'type' | 'linkname'> {
  /** Null for a type that tar-stream does not know. */
  readonly type: string | null;
  readonly linkname: string | null;
  readonly pax?: Readonly<Record<string, string>> | null;
  readonly byteOffset?: number;
}

/**
 * Tars of every format are read by tar-stream. Writing is ours (`tar-write.ts`): tar-stream's `pack` takes PAX values as UTF-8
 * text, turns mode 0 (/etc/shadow of Fedora) into 0644, times after 2038 into garbage and large ids into 0o777777.
 */
export const tarStreamTar: Tar = { read, write: writeTar };

async function* read(source: Readable, options: { readonly complete?: boolean } = {}): AsyncGenerator<TarReadEntry, void, undefined> {
  const extract = tarStream.extract({ filenameEncoding: 'latin1' } as Parameters<typeof tarStream.extract>[0]);
  keepPaxBytes(extract);
  let failure: Error | undefined;
  feed(source, extract, options.complete === true).catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(messageOf(error));
    extract.destroy(failure);
  });
  const explain = (error: unknown): Error => {
    if (failure !== undefined) return failure;
    if (error instanceof KvciError) return error;
    return new KvciError('failed', 'tar-damaged', `the tar cannot be read: ${messageOf(error)}`, { cause: error });
  };
  try {
    for await (const entry of extract) {
      // Ended by hand: leaving `for await` early would destroy the entry and with it the whole tar.
      const inner = (entry as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
      const chunks = {
        next: () =>
          inner.next().catch((error: unknown) => {
            throw explain(error);
          }),
      };
      yield await readEntry(entry.header as RawHeader, chunks);
      while ((await chunks.next()).done !== true);
    }
  } catch (error) {
    throw explain(error);
  } finally {
    extract.destroy(null);
    source.destroy();
  }
}

/** By hand, because node's `pipeline` and streamx do not agree on when a stream has failed. */
async function feed(source: Readable, extract: tarStream.Extract, complete: boolean): Promise<void> {
  let tail = Buffer.alloc(0);
  let resume: () => void = () => undefined;
  extract.on('drain', () => resume());
  extract.on('close', () => resume());
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    if (extract.destroyed) return;
    if (complete) tail = Buffer.concat([tail, chunk.subarray(-512)]).subarray(-512);
    const drained = new Promise<void>((resolve) => (resume = resolve));
    if (!extract.write(chunk)) await drained;
  }
  if (complete && (tail.length < 512 || tail.some((byte) => byte !== 0)))
    throw new KvciError('failed', 'tar-damaged', 'the tar ends early: the blocks that mark its end are missing');
  if (!extract.destroyed) extract.end(null);
}

/**
 * tar-stream decodes PAX records as UTF-8, which destroys binary xattrs: `security.capability` of every file with CAP_SETUID
 * holds a byte 0x80. So the one method that decodes them is replaced; a test of real capabilities holds this to the pinned version.
 */
function keepPaxBytes(extract: tarStream.Extract): void {
  const inner = extract as unknown as {
    _header: { readonly type: string };
    _pax: Record<string, string>;
    _paxGlobal: Record<string, string> | null;
    _decodeLongHeader: (bytes: Uint8Array) => void;
  };
  const original = inner._decodeLongHeader.bind(extract);
  inner._decodeLongHeader = (bytes) => {
    if (inner._header.type === 'pax-header') inner._pax = { ...inner._paxGlobal, ...decodePax(bytes) };
    else if (inner._header.type === 'pax-global-header') inner._paxGlobal = decodePax(bytes);
    else original(bytes);
  };
}

async function readEntry(header: RawHeader, chunks: AsyncIterator<Uint8Array>): Promise<TarReadEntry> {
  const pax = header.pax ?? {};
  const type = header.type === null ? undefined : TYPES[header.type as keyof typeof TYPES];
  const path = normalPath(nameOf(pax['GNU.sparse.name'] ?? header.name));
  if (type === undefined) {
    throw new KvciError('failed', 'tar-unsupported', `the tar holds ${JSON.stringify(path)} in a form that kvci does not read`, {
      hint: 'Sparse files in the old GNU format and multi-volume archives are not read; write the tar with --format=posix.',
    });
  }
  const sparse = type === 'file' ? await sparseContent(pax, chunks) : undefined;
  const content = sparse?.chunks ?? { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) };
  const linked = type === 'symlink' || type === 'hardlink';
  const target = nameOf(header.linkname ?? '');
  return {
    path,
    type,
    mode: header.mode & 0o7777,
    uid: numberOf(pax['uid'], header.uid),
    gid: numberOf(pax['gid'], header.gid),
    mtime: numberOf(pax['mtime'], header.mtime.getTime() / 1000),
    size: type === 'file' ? (sparse?.size ?? header.size) : 0,
    ...(linked ? { linkname: type === 'hardlink' ? normalPath(target) : target } : {}),
    xattrs: Object.fromEntries(
      Object.entries(pax).flatMap(([keyword, value]) =>
        keyword.startsWith(XATTR_KEYWORD) ? [[nameOf(keyword.slice(XATTR_KEYWORD.length)), value]] : [],
      ),
    ),
    ...(type === 'character-device' || type === 'block-device' ? { device: { major: header.devmajor, minor: header.devminor } } : {}),
    ...(type === 'file' && sparse === undefined && header.byteOffset !== undefined ? { offset: header.byteOffset } : {}),
    content: () => Readable.from(content, { objectMode: false }),
  };
}

function nameOf(latin1: string): string {
  return decodeName(Buffer.from(latin1, 'latin1'));
}

function numberOf(pax: string | undefined, ustar: number | undefined): number {
  const value = Math.floor(pax === undefined ? (ustar ?? 0) : Number(pax));
  if (Number.isSafeInteger(value)) return value;
  throw new KvciError('failed', 'tar-damaged', `the tar holds a malformed number: ${JSON.stringify(pax)}`);
}
