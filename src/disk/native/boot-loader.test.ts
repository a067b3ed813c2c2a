import { describe, expect, it } from 'vitest';

import { biosCommand, biosWrites } from './boot-loader.ts';

const MIB = 2 ** 20;

describe('GRUB for a BIOS', () => {
  it('is told where its core lies', () => {
    const sector = Buffer.alloc(512, 0xee);
    const core = Buffer.alloc(512 * 3 + 1, 0xcc);
    const [boot, loader] = biosWrites(sector, core, { offset: MIB, size: MIB });
    expect(boot?.offset).toBe(0);
    const code = Buffer.from(boot?.bytes ?? []);
    // The partition table behind it stays.
    expect(code).toHaveLength(440);
    expect(code.readBigUInt64LE(0x5c)).toBe(2048n);
    expect(code.subarray(0x66, 0x68).toString('hex')).toBe('9090');
    expect(code[0x68]).toBe(0xee);
    expect(loader?.offset).toBe(MIB);
    const bytes = Buffer.from(loader?.bytes ?? []);
    expect(bytes).toHaveLength(core.length);
    expect(bytes.readBigUInt64LE(500)).toBe(2049n);
    expect([bytes.readUInt16LE(508), bytes.readUInt16LE(510)]).toEqual([3, 0x820]);
    expect(core.readUInt16LE(508)).toBe(0xcccc);
  });

  it('is there on amd64 only', () => {
    expect(biosCommand('amd64', 'c', 'o')).toContain('i386-pc');
    expect(biosCommand('arm64', 'c', 'o')).toBeUndefined();
  });
});
