import { open, stat } from 'node:fs/promises';

import { hasErrno, KvciError } from '../../core/errors.ts';
import { formatSize } from '../../core/sizes.ts';
import type { DiskFormat } from '../types.ts';

/** Bytes that tell what a disk's file is: a qcow2 header, or the sector behind a protective MBR. */
const HEAD = 1024;

const QCOW2_MAGIC = Buffer.from('QFI\xfb', 'latin1');
/** Where a qcow2 header has the size of the virtual disk (docs/interop/qcow2.txt of QEMU). */
const QCOW2_SIZE_AT = 24;

/** The second sector of a disk with a GUID partition table begins with this. */
const GPT_SIGNATURE = Buffer.from('EFI PART');
const SECTOR = 512;

/**
 * The size of the virtual disk in a file; undefined for a file that is no such disk.
 *
 * @param head the file's first bytes @param length of the file
 */
export function virtualSize(head: Buffer, length: number, format: DiskFormat): number | undefined {
  if (format === 'raw') return head.subarray(SECTOR, SECTOR + GPT_SIGNATURE.length).equals(GPT_SIGNATURE) ? length : undefined;
  if (!head.subarray(0, QCOW2_MAGIC.length).equals(QCOW2_MAGIC) || head.length < QCOW2_SIZE_AT + 8) return undefined;
  return Number(head.readBigUInt64BE(QCOW2_SIZE_AT));
}

/**
 * Looks whether a converter left what it was asked for.
 *
 * @throws KvciError `converter-no-output`, `converter-bad-output`
 */
export async function checkDiskFile(path: string, format: DiskFormat, size: number): Promise<void> {
  const found = virtualSize(await headOf(path), (await stat(path)).size, format);
  if (found === undefined) {
    throw new KvciError('failed', 'converter-bad-output', `what the converter left as ${format} is no such disk`, {
      hint: 'Use another version of it, or --converter native.',
    });
  }
  if (found < size) {
    throw new KvciError('failed', 'converter-bad-output', `the converter made a disk of ${formatSize(found)}, not of ${formatSize(size)}`, {
      hint: "The image's own disk.yaml may lay the disk out: change it there, or use --converter native.",
      facts: { size: found, wanted: size },
    });
  }
}

async function headOf(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw new KvciError('failed', 'converter-no-output', 'the converter ended well, but left no disk where it leaves disks', {
      hint: 'Its version may lay its output out in another way: use another version, or --converter native.',
      facts: { path },
      cause: error,
    });
  }
}
