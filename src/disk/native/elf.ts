import { Buffer } from 'node:buffer';

import { KvciError } from '../../core/errors.ts';

/** What a program or library says that it needs to be loaded. */
export interface Needed {
  /** Path of the dynamic loader; programs only. */
  readonly interpreter?: string;
  /** Names of libraries. */
  readonly libraries: readonly string[];
  /** Folders in which they are looked for first. */
  readonly runpath: readonly string[];
}

const NOTHING: Needed = { libraries: [], runpath: [] };

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

/**
 * Reads the dynamic section of an ELF file of 64 bits, little-endian: all that there is on amd64 and arm64. Whatever else the file is,
 * it needs nothing.
 *
 * Format: elf(5)
 *
 * @throws KvciError `program-damaged` for one that is cut off
 */
export function neededBy(file: Uint8Array): Needed {
  const elf = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (elf.length < 64 || elf.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return NOTHING;
  try {
    return readDynamic(elf);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new KvciError('failed', 'program-damaged', 'a program of the image is damaged: its dynamic section lies outside of it', {
      cause,
    });
  }
}

function readDynamic(elf: Buffer): Needed {
  const segments = segmentsOf(elf);
  const text = (at: number): string => elf.toString('utf8', at, elf.indexOf(0, at));
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return NOTHING;
  const tags = Array.from({ length: Math.floor(dynamic.size / 16) }, (_, index) => ({
    tag: number64(elf, dynamic.offset + 16 * index),
    value: number64(elf, dynamic.offset + 16 * index + 8),
  }));
  const strings = offsetOf(segments, tags.find(({ tag }) => tag === DT_STRTAB)?.value ?? 0);
  const words = (...wanted: readonly number[]): string[] =>
    tags.filter(({ tag }) => wanted.includes(tag)).map(({ value }) => text(strings + value));
  return {
    ...(interpreter === undefined ? {} : { interpreter: text(interpreter.offset) }),
    libraries: words(DT_NEEDED),
    runpath: words(DT_RPATH, DT_RUNPATH).flatMap((folders) => folders.split(':')),
  };
}

function segmentsOf(elf: Buffer): readonly Segment[] {
  const start = number64(elf, 32);
  const size = elf.readUInt16LE(54);
  return Array.from({ length: elf.readUInt16LE(56) }, (_, index) => {
    const at = start + index * size;
    return { type: elf.readUInt32LE(at), offset: number64(elf, at + 8), address: number64(elf, at + 16), size: number64(elf, at + 32) };
  });
}

/** Where in the file an address is loaded from. */
function offsetOf(segments: readonly Segment[], address: number): number {
  const segment = segments.find((load) => load.type === PT_LOAD && address >= load.address && address < load.address + load.size);
  return segment === undefined ? address : segment.offset + address - segment.address;
}

function number64(elf: Buffer, at: number): number {
  return Number(elf.readBigUInt64LE(at));
}
