import { type Digest, hexOf, sha256 } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import { formatSize } from '../../core/sizes.ts';

const SECTOR = 512;
const MIB = 2 ** 20;

/** In bytes from the start of the disk. */
export interface Partition {
  readonly offset: number;
  readonly size: number;
}

export interface DiskLayout {
  /** Where a BIOS finds GRUB: GPT leaves it no room behind the boot sector. */
  readonly bios: Partition;
  readonly esp: Partition;
  readonly root: Partition;
}

/** GPT keeps its second table behind the last partition. */
const TAIL = MIB;

const BIOS: Partition = { offset: MIB, size: MIB };
const ESP: Partition = { offset: 2 * MIB, size: 64 * MIB };

/** The number of the root partition, as the boot loader counts. */
export const ROOT_NUMBER = 3;

/** Journal and superblocks, and room for a system to start in. */
const OVERHEAD = 256 * MIB;

/** Inodes and bitmaps grow with the disk: mke2fs makes 256 bytes for each 16 KiB, 1.6 %. */
const TABLES = 1 / 50;

/**
 * @param content bytes of all files, each rounded up to a block
 * @throws KvciError `disk-too-small`
 */
export function layOutDisk(size: number, content: number): DiskLayout {
  const offset = ESP.offset + ESP.size;
  const needed = Math.ceil((offset + content + OVERHEAD + TAIL) / (1 - TABLES) / MIB) * MIB;
  if (size >= needed) return { bios: BIOS, esp: ESP, root: { offset, size: Math.floor((size - TAIL - offset) / MIB) * MIB } };
  throw new KvciError('usage', 'disk-too-small', `--size: ${formatSize(size)} is too little for this image`, {
    hint: `It takes ${formatSize(needed)} and what the machine writes: --size 10G is usual.`,
    facts: { size, needed },
  });
}

/** Identifiers of a disk: the same for the same inputs, and no others like them. */
export interface DiskIds {
  readonly disk: string;
  readonly bios: string;
  readonly esp: string;
  readonly root: string;
  /** Of the root file system, by which the kernel finds it. */
  readonly filesystem: string;
  /** For the hashes of its folders. */
  readonly hashSeed: string;
  /** Of the FAT file system: eight hex digits. */
  readonly volume: string;
}

/** @param key of everything that decides what is on the disk */
export function diskIds(key: Digest): DiskIds {
  const uuid = (what: string): string => uuidOf(sha256(`${key} ${what}`));
  return {
    disk: uuid('disk'),
    bios: uuid('bios'),
    esp: uuid('esp'),
    root: uuid('root'),
    filesystem: uuid('file system'),
    hashSeed: uuid('hash seed'),
    volume: hexOf(sha256(`${key} volume`)).slice(0, 8),
  };
}

/** A UUID of version 8, "for vendors", whose bits come from a digest. Source: RFC 9562, section 5.8 */
function uuidOf(digest: Digest): string {
  const hex = hexOf(digest);
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16);
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}

/** https://uefi.org/specs/UEFI/2.11/05_GUID_Partition_Table_Format.html, https://uapi-group.org/specifications/specs/discoverable_partitions_specification/ */
const TYPES = {
  bios: '21686148-6449-6E6F-744E-656564454649',
  esp: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  root: { amd64: '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709', arm64: 'B921B045-1DF0-41C3-AF44-4C6F280D3FAE' },
} as const;

/** What sfdisk(8) reads. */
export function partitionTable(layout: DiskLayout, ids: DiskIds, architecture: keyof typeof TYPES.root): string {
  const types = { ...TYPES, root: TYPES.root[architecture] };
  const partitions = (['bios', 'esp', 'root'] as const).map((name) => {
    const { offset, size } = layout[name];
    return `start=${offset / SECTOR}, size=${size / SECTOR}, type=${types[name]}, uuid=${ids[name]}, name="${name}"`;
  });
  return ['label: gpt', `label-id: ${ids.disk}`, 'unit: sectors', '', ...partitions, ''].join('\n');
}

export function partitionArgv(disk: string): [string, ...string[]] {
  return ['sfdisk', '--quiet', '--wipe=never', '--no-reread', '--no-tell-kernel', disk];
}
