import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

import { initramfsNames } from '../../image/check/cpio.ts';
import { writeCpio } from './cpio.ts';
import { neededBy } from './elf.ts';
import { modulesToLoad } from './modules.ts';

describe('an initramfs', () => {
  it('is read back as it was written', async () => {
    const archive = writeCpio([
      { path: 'bin', type: 'directory', mode: 0o755, content: Buffer.alloc(0) },
      { path: 'bin/busybox', type: 'file', mode: 0o755, content: Buffer.from('12345') },
      { path: 'bin/sh', type: 'symlink', mode: 0o777, content: Buffer.from('busybox') },
    ]);
    expect(await initramfsNames(archive)).toEqual(['bin', 'bin/busybox', 'bin/sh']);
    expect(archive.length % 4).toBe(0);
    expect(archive.toString('latin1', 0, 22)).toBe('07070100000001000041ED');
  });
});

describe('what a program needs', () => {
  it('is read from the program', async () => {
    const { interpreter, libraries } = neededBy(await readFile(process.execPath));
    expect(interpreter).toMatch(/ld-linux/);
    expect(libraries).toContain('libc.so.6');
  });

  it('is not to be read from half a program', async () => {
    const half = (await readFile('/bin/true')).subarray(0, 100);
    expect(() => neededBy(half)).toThrow(expect.objectContaining({ code: 'program-damaged' }));
  });

  it.each(['', '#!/bin/sh\n', '\x7fELF\x01\x01'.padEnd(64, '\0'), '\x7fELF\x02\x01'.padEnd(64, '\0')])('%j needs nothing', (text) => {
    expect(neededBy(Buffer.from(text, 'latin1'))).toEqual({ libraries: [], runpath: [] });
  });
});

describe('modules to load', () => {
  const LISTS = {
    dependencies: [
      'kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz',
      'kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz',
      'kernel/drivers/virtio/virtio_ring.ko.xz:',
      'kernel/fs/ext4/crc32c-generic.ko.xz:',
      '',
    ].join('\n'),
    builtin: 'kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio-pci.ko\n',
  };

  it('come with what they need before them, once', () => {
    expect(modulesToLoad(['virtio_blk', 'virtio', 'ext4'], LISTS)).toEqual([
      'kernel/drivers/virtio/virtio_ring.ko.xz',
      'kernel/drivers/virtio/virtio.ko.xz',
      'kernel/drivers/block/virtio_blk.ko.xz',
    ]);
  });

  it('a name with a dash is the same with an underscore', () => {
    expect(modulesToLoad(['crc32c_generic', 'virtio_pci'], LISTS)).toEqual(['kernel/fs/ext4/crc32c-generic.ko.xz']);
  });

  it('what is neither a module nor built in is missed by name', () => {
    expect(() => modulesToLoad(['xfs'], LISTS)).toThrow(
      expect.objectContaining({ code: 'kernel-without-module', message: 'the kernel of the image has no module xfs' }),
    );
  });
});
