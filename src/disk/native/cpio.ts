import { Buffer } from 'node:buffer';

/** A path of an archive; `content` is a file's, or the target of a symlink. */
export interface CpioEntry {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly mode: number;
  readonly content: Uint8Array;
}

const TYPES: Readonly<Record<CpioEntry['type'], number>> = { file: 0o100000, directory: 0o040000, symlink: 0o120000 };

const TRAILER = 'TRAILER!!!';

/**
 * An initramfs of the entries, in their order, all root's and without times.
 *
 * Format: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => member(index + 1, entry.path, TYPES[entry.type] | entry.mode, entry.content));
  return Buffer.concat([...parts, member(0, TRAILER, 0, Buffer.alloc(0))]);
}

function member(inode: number, path: string, mode: number, content: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, time, size, two devices of two numbers each, size of the name, checksum (unused)
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(content)]);
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
