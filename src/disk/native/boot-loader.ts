import { Buffer } from 'node:buffer';

import type { Architecture } from '../../payload/types.ts';
import { type DiskIds, type Partition, ROOT_NUMBER } from './partitions.ts';

const SECTOR = 512;

/** Reads the partition table, the file system and what OSTree's syslinux backend writes; starts Linux; speaks on the serial port. */
const MODULES = ['part_gpt', 'ext2', 'syslinuxcfg', 'linux', 'normal', 'serial', 'terminal', 'echo', 'test', 'reboot', 'halt'] as const;

interface Firmware {
  /** GRUB's name of the platform. */
  readonly platform: string;
  readonly modules: readonly string[];
  /** Where UEFI looks on a disk that nobody told it about: UEFI specification, 3.5.1.1. */
  readonly file?: string;
}

const UEFI: Readonly<Record<Architecture, Firmware & { readonly file: string }>> = {
  amd64: { platform: 'x86_64-efi', modules: ['fat', 'efi_gop'], file: 'BOOTX64.EFI' },
  arm64: { platform: 'arm64-efi', modules: ['fat', 'efi_gop'], file: 'BOOTAA64.EFI' },
};

const BIOS: Firmware = { platform: 'i386-pc', modules: ['biosdisk'] };

/** Makes a GRUB that has all it needs in one file and looks for the rest on the disk that it came from. */
function grubArgv({ platform, modules }: Firmware, config: string, output: string): [string, ...string[]] {
  const prefix = `(,gpt${ROOT_NUMBER})/boot`;
  return ['grub-mkimage', '--format', platform, '--prefix', prefix, '--config', config, '--output', output, ...modules, ...MODULES];
}

/** What makes and fills the EFI system partition, in order. Paths are of the place where it is run. */
export function espCommands(
  architecture: Architecture,
  paths: { readonly disk: string; readonly config: string; readonly loader: string },
  esp: Partition,
  { volume }: DiskIds,
): readonly (readonly [string, ...string[]])[] {
  const { file, ...firmware } = UEFI[architecture];
  const image = `${paths.disk}@@${esp.offset}`;
  return [
    grubArgv(firmware, paths.config, paths.loader),
    // mtools asks for a geometry, which nobody has looked at for thirty years.
    ['mformat', '-i', image, '-T', String(esp.size / SECTOR), '-F', '-h', '64', '-s', '32', '-N', volume, '-v', 'ESP', '::'],
    ['mmd', '-i', image, '::/EFI', '::/EFI/BOOT'],
    ['mcopy', '-i', image, paths.loader, `::/EFI/BOOT/${file}`],
  ];
}

/** GRUB for a BIOS, where the architecture has one. */
export function biosCommand(architecture: Architecture, config: string, output: string): readonly [string, ...string[]] | undefined {
  return architecture === 'amd64' ? grubArgv(BIOS, config, output) : undefined;
}

/** GRUB's boot sector among the modules of its platform. */
export const BOOT_SECTOR = '/usr/lib/grub/i386-pc/boot.img';

/** The code of a boot sector; what follows is the partition table's. */
const BOOT_CODE = 440;

/* Places in boot.img and in the first sector of core.img: grub-core/boot/i386/pc/{boot,diskboot}.S, include/grub/i386/pc/boot.h */
const KERNEL_SECTOR_AT = 0x5c;
const DRIVE_CHECK_AT = 0x66;
const FIRST_LIST_AT = SECTOR - 12;
const SECOND_SEGMENT = 0x820;
const NOP = 0x90;

/** Some bytes and where on the disk they stand. */
export interface DiskWrite {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What grub-bios-setup(8) would write, which wants a device that is mounted: boot sector and core know where the core lies. */
export function biosWrites(bootSector: Uint8Array, core: Uint8Array, bios: Partition): readonly DiskWrite[] {
  const sector = bios.offset / SECTOR;
  const boot = Buffer.from(bootSector.subarray(0, BOOT_CODE));
  boot.writeBigUInt64LE(BigInt(sector), KERNEL_SECTOR_AT);
  // For BIOSes that tell a wrong drive: the check jumps only on a floppy.
  boot.fill(NOP, DRIVE_CHECK_AT, DRIVE_CHECK_AT + 2);
  const loader = Buffer.from(core);
  loader.writeBigUInt64LE(BigInt(sector + 1), FIRST_LIST_AT);
  loader.writeUInt16LE(Math.ceil(loader.length / SECTOR) - 1, FIRST_LIST_AT + 8);
  loader.writeUInt16LE(SECOND_SEGMENT, FIRST_LIST_AT + 10);
  return [
    { offset: 0, bytes: boot },
    { offset: bios.offset, bytes: loader },
  ];
}
