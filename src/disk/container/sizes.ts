import type { Architecture } from '../../payload/types.ts';

const MIB = 2 ** 20;

/**
 * What the converters put beside the root file system: boot partition, ESP, on x86 a BIOS boot partition, the partition table
 * and its copy (contract D5: 1 GiB, 501 MiB, 1 MiB; a MiB at each end).
 */
const BESIDE_ROOT: Readonly<Record<Architecture, number>> = { amd64: (1024 + 501 + 1 + 2) * MIB, arm64: (1024 + 501 + 2) * MIB };

/** What a file system takes for itself, as a part of what is in it. */
const FILESYSTEM_SHARE = 0.1;

/** Whole MiB of the root file system on a disk of the size asked; may be less than nothing. */
export function rootSizeMib(size: number, architecture: Architecture): number {
  return Math.floor((size - BESIDE_ROOT[architecture]) / MIB);
}

/** Bytes of the smallest disk that such an image fits on. @param unpacked bytes of the image's files */
export function smallestDisk(unpacked: number, architecture: Architecture): number {
  return Math.ceil((unpacked * (1 + FILESYSTEM_SHARE) + BESIDE_ROOT[architecture]) / MIB) * MIB;
}

/** Free bytes that a conversion takes: the tree and its copies where the converter works, the disk where it leaves it. */
export function spaceNeeded(unpacked: number): { readonly storage: number; readonly output: number } {
  return { storage: 2 * unpacked, output: unpacked };
}
