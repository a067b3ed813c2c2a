import { describe, expect, it } from 'vitest';

import { array, byteArray, type Serialised, string, tuple, uint32, uint64, variant } from './gvariant.ts';

const hex = ({ bytes }: Serialised): string => bytes.toString('hex');

describe('a value in its serialised form', () => {
  it.each<[string, Serialised, string]>([
    ['a number, big-endian', uint32(0x01020304), '01020304'],
    ['a large number', uint64(2 ** 33), '0000000200000000'],
    ['a string ends with a zero byte', string('hi'), '686900'],
    ['bytes as they are', byteArray(Buffer.from([1, 2])), '0102'],
    ['an empty array has no framing', array([]), ''],
    ['an array tells where its elements end', array([string('i'), string('can')]), '690063616e00' + '0206'],
    ['a variant is followed by its type', variant(string('a'), 's'), '6100' + '0073'],
    ['a structure of fixed size is padded', tuple(uint64(1), uint32(2)), '0000000000000001' + '00000002' + '00000000'],
    ['the last member of a structure has no framing', tuple(uint32(1), string('a')), '00000001' + '6100'],
    ['others have, the last first', tuple(string('a'), string('bc'), string('d')), '6100' + '626300' + '6400' + '0502'],
    ['members stand where their type may stand', tuple(string('a'), uint32(1)), '6100' + '0000' + '00000001' + '02'],
  ])('%s', (_what, value, expected) => {
    expect(hex(value)).toBe(expected);
  });

  it('framing grows with what it frames', () => {
    const long = string('x'.repeat(300));
    expect(array([long]).bytes.subarray(-2).readUInt16LE()).toBe(301);
    const huge = byteArray(Buffer.alloc(70_000));
    expect(array([huge]).bytes.subarray(-4).readUInt32LE()).toBe(70_000);
  });
});
