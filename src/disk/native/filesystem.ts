import type { DiskIds, Partition } from './partitions.ts';

const KIB = 1024;

/**
 * GRUB 2.12 reads no file system whose checksums have a seed of their own, and the small tables of orphans are of use to nobody who
 * boots a copy; both are on by default in e2fsprogs 1.47.
 */
const FEATURES = '^metadata_csum_seed,^orphan_file';

/** Makes the root file system in its place on the disk, its content read as a tar from standard input. */
export function mkfsArgv(disk: string, root: Partition, ids: DiskIds): [string, ...string[]] {
  return [
    'mke2fs',
    '-q',
    '-t',
    'ext4',
    '-O',
    FEATURES,
    '-L',
    'root',
    '-U',
    ids.filesystem,
    '-E',
    `hash_seed=${ids.hashSeed},root_owner=0:0,nodiscard,offset=${root.offset}`,
    '-d',
    '-',
    disk,
    `${root.size / KIB}k`,
  ];
}

/** Makes a folder immutable, as OSTree does with the root of a deployment (EXT4_IMMUTABLE_FL beside EXT4_EXTENTS_FL). */
export function immutableArgv(disk: string, root: Partition, folder: string): [string, ...string[]] {
  return ['debugfs', '-w', '-R', `set_inode_field /${folder} flags 0x80010`, `${disk}?offset=${root.offset}`];
}

/** Programs that write times take this one, in seconds since the epoch, and no other. */
export function fixedTime(created: number): Readonly<Record<string, string>> {
  return { SOURCE_DATE_EPOCH: String(created), E2FSPROGS_FAKE_TIME: String(created), TZ: 'UTC' };
}

/** qcow2 of compressed clusters: smaller than zlib's, and five times as fast. */
export function compressArgv(raw: string, disk: string): [string, ...string[]] {
  return ['qemu-img', 'convert', '-c', '-m', '2', '-W', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd', raw, disk];
}

/** A layer as an uncompressed tar. */
export function unpackArgv(blob: string, tar: string): [string, ...string[]] {
  return ['zstd', '--decompress', '--quiet', '--no-progress', '-o', tar, blob];
}
