import { Buffer } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';

import { encodeName } from '../../host/tar-bytes.ts';
import type { TreeNode } from '../../oci/tree.ts';
import { array, byteArray, string, tuple, type Serialised, uint32, uint64, variant } from './gvariant.ts';

/*
 * The objects of an OSTree repository, computed here so that no tree has to be unpacked for `ostree commit`.
 *
 * Formats: https://ostreedev.github.io/ostree/repo/ and the OSTREE_*_GVARIANT_FORMAT of ostree-core.h.
 */

/** sha256 in hex: the name of an object. */
export type Checksum = string;

export interface MetadataObject {
  readonly checksum: Checksum;
  readonly kind: 'dirtree' | 'dirmeta' | 'commit';
  readonly bytes: Buffer;
}

/** What of a path goes into its checksum; times do not. */
export type Inode = Pick<TreeNode, 'type' | 'mode' | 'uid' | 'gid' | 'xattrs' | 'linkname'>;

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

/** Linux gives every symlink this mode; tars say what they like. */
const SYMLINK_MODE = 0o777;

/** `a(ayay)`, by name; a name ends with a zero byte. */
function xattrs({ xattrs: attributes }: Inode): Serialised {
  const names = Object.keys(attributes).toSorted();
  return array(
    names.map((name) =>
      tuple(byteArray(Buffer.concat([encodeName(name), Buffer.alloc(1)])), byteArray(Buffer.from(attributes[name] ?? '', 'latin1'))),
    ),
  );
}

/** A hash that has seen all that precedes a file's content: its digest after the content is the file's checksum. */
export function fileHash(inode: Inode): Hash {
  const link = inode.type === 'symlink';
  const header = tuple(
    uint32(inode.uid),
    uint32(inode.gid),
    uint32(link ? S_IFLNK | SYMLINK_MODE : S_IFREG | inode.mode),
    uint32(0),
    string(link ? encodeName(inode.linkname ?? '') : ''),
    xattrs(inode),
  ).bytes;
  const size = Buffer.alloc(8);
  size.writeUInt32BE(header.length);
  return createHash('sha256').update(size).update(header);
}

function object(kind: MetadataObject['kind'], { bytes }: Serialised): MetadataObject {
  return { kind, bytes, checksum: createHash('sha256').update(bytes).digest('hex') };
}

function checksumBytes(checksum: Checksum): Serialised {
  return byteArray(Buffer.from(checksum, 'hex'));
}

export function dirmeta(inode: Inode): MetadataObject {
  return object('dirmeta', tuple(uint32(inode.uid), uint32(inode.gid), uint32(S_IFDIR | inode.mode), xattrs(inode)));
}

export interface DirectoryContents {
  /** Checksums by name. */
  readonly files: ReadonlyMap<string, Checksum>;
  readonly directories: ReadonlyMap<string, { readonly tree: Checksum; readonly meta: Checksum }>;
}

export function dirtree({ files, directories }: DirectoryContents): MetadataObject {
  return object(
    'dirtree',
    tuple(
      array(byName(files).map(([name, checksum]) => tuple(string(name), checksumBytes(checksum)))),
      array(byName(directories).map(([name, { tree, meta }]) => tuple(string(name), checksumBytes(tree), checksumBytes(meta)))),
    ),
  );
}

/** In the order of the names' bytes, as strcmp(3) has it. */
function byName<Value>(entries: ReadonlyMap<string, Value>): (readonly [Buffer, Value])[] {
  return [...entries].map(([name, value]) => [encodeName(name), value] as const).toSorted(([a], [b]) => Buffer.compare(a, b));
}

export interface CommitFacts {
  readonly tree: Checksum;
  readonly meta: Checksum;
  readonly subject: string;
  /** Seconds since the epoch. */
  readonly timestamp: number;
  /** Text by key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The branch that it is on: OSTree refuses a commit under another name. */
  readonly ref: string;
}

export function commit({ tree, meta, subject, timestamp, metadata, ref }: CommitFacts): MetadataObject {
  const entries: readonly (readonly [string, Serialised])[] = [
    ...Object.entries(metadata).map(([key, value]) => [key, variant(string(value), 's')] as const),
    ['ostree.ref-binding', variant(array([string(ref)]), 'as')],
  ];
  return object(
    'commit',
    tuple(
      array(
        entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => tuple(string(key), value)),
        8,
      ),
      byteArray(Buffer.alloc(0)),
      array([]),
      string(subject),
      string(''),
      uint64(timestamp),
      checksumBytes(tree),
      checksumBytes(meta),
    ),
  );
}
