import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import type { DiskFormat } from '../types.ts';
import { checkDiskFile, virtualSize } from './disk-file.ts';

function qcow2(size: number): Buffer {
  const head = Buffer.alloc(512);
  head.write('QFI\xfb', 'latin1');
  head.writeUInt32BE(3, 4);
  head.writeBigUInt64BE(BigInt(size), 24);
  return head;
}

function raw(size: number): Buffer {
  const disk = Buffer.alloc(size);
  disk.write('EFI PART', 512);
  return disk;
}

it.each<[string, Buffer, DiskFormat, number | undefined]>([
  ['a qcow2', qcow2(10 * 2 ** 30), 'qcow2', 10 * 2 ** 30],
  ['a raw disk', raw(4096), 'raw', 4096],
  ['a raw disk for a qcow2', raw(4096), 'qcow2', undefined],
  ['a qcow2 for a raw disk', qcow2(4096), 'raw', undefined],
  ['the start of a qcow2', qcow2(4096).subarray(0, 20), 'qcow2', undefined],
  ['an empty file', Buffer.alloc(0), 'raw', undefined],
])('%s', (_name, bytes, format, expected) => {
  expect(virtualSize(bytes, bytes.length, format)).toBe(expected);
});

it.each<[string, Buffer | undefined, string | undefined]>([
  ['as asked', raw(8192), undefined],
  ['larger than asked', raw(16384), undefined],
  ['smaller than asked', raw(4096), 'converter-bad-output'],
  ['something else', Buffer.from('a disk, I swear'), 'converter-bad-output'],
  ['nothing', undefined, 'converter-no-output'],
])('what a converter left: %s', async (_name, bytes, code) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-disk-'));
  const path = join(folder.path, 'disk.raw');
  if (bytes !== undefined) await writeFile(path, bytes);
  const checked = checkDiskFile(path, 'raw', 8192);
  await (code === undefined ? expect(checked).resolves.toBeUndefined() : expect(checked).rejects.toMatchObject({ code }));
});
