import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { cpioArchive } from '../../../test/fixtures/cpio.ts';
import { initramfsNames, InitramfsError } from './cpio.ts';

const NAMES = ['.', 'usr', 'usr/lib/ostree/ostree-prepare-root'];
const ARCHIVE = cpioArchive(NAMES, 'content');
const READ = NAMES;

/** `printf init | cpio -o -H newc | xz --check=crc32`, as dracut compresses. */
const XZ = Buffer.from(
  '/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4ADvADFdABgN3QRjnHIbdqHAKPF1LqvzQk2Ld9fbuqFAtVxSBx2ZCgRMvhUQ7F90OPC0S7XA1AAAAAAAM9V8OAABSfABAAAAQbiKGz4wDYsCAAAAAAFZWg==',
  'base64',
);

describe('initramfs', () => {
  it.each([
    ['plain', ARCHIVE],
    ['gzip', gzipSync(ARCHIVE)],
    ['zstd', zstdCompressSync(ARCHIVE)],
  ])('lists the names of a %s archive', async (_name, image) => {
    expect(await initramfsNames(image)).toEqual(READ);
  });

  it('reads xz', async () => {
    expect(await initramfsNames(XZ)).toEqual(['init']);
  });

  it('reads early archives, padding and the compressed main one', async () => {
    const image = Buffer.concat([
      cpioArchive(['kernel/x86/microcode/AuthenticAMD.bin'], 'x'),
      Buffer.alloc(512),
      zstdCompressSync(ARCHIVE),
    ]);
    expect(await initramfsNames(image)).toEqual(['kernel/x86/microcode/AuthenticAMD.bin', ...READ]);
  });

  it.each([
    ['cut off', ARCHIVE.subarray(0, 200)],
    ['broken zstd', zstdCompressSync(ARCHIVE).subarray(0, 40)],
    ['not an archive', Buffer.from('hello')],
    ['compressed, but no archive', gzipSync('hello')],
  ])('refuses one that is %s', async (_name, image) => {
    await expect(initramfsNames(image)).rejects.toThrow(InitramfsError);
  });
});
