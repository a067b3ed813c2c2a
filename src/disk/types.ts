import type { Json } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { StepContext } from '../core/plan.ts';
import type { Image } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Architecture } from '../payload/types.ts';

export const CONVERTERS = ['native', 'bootc-image-builder', 'image-builder'] as const;
export type ConverterName = (typeof CONVERTERS)[number];

export const DISK_FORMATS = ['qcow2', 'raw'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

export const FILESYSTEMS = ['ext4', 'xfs'] as const;
export type Filesystem = (typeof FILESYSTEMS)[number];

/** What a disk is asked to be; with the image's digest and a converter's identity it is the key of the disk. */
export interface DiskOptions {
  readonly format: DiskFormat;
  /** Of the virtual disk, in bytes; a multiple of a MiB. */
  readonly size: number;
  readonly filesystem: Filesystem;
  /** Added to the kernel arguments that the image asks for, each one checked (`kargs.ts`). */
  readonly kargs: readonly string[];
  /** Public keys that may log in as root, a line of authorized_keys each. */
  readonly sshKeys: readonly string[];
  /** Where a converter that is a container comes from, instead of where it is published. */
  readonly converterImage?: string;
}

/** A bootc image where it lies: kvci's store, or a folder of the user's. Checked to be one, and for this architecture. */
export interface SourceImage {
  readonly image: Image;
  readonly layout: ImageLayout;
  readonly architecture: Architecture;
}

export interface DiskRequest extends DiskOptions {
  readonly source: SourceImage;
}

/** What boots the disk without its boot loader. Names are of files beside the disk. */
export interface DirectBoot {
  readonly kernel: string;
  /** A small one that knows only virtio disks. */
  readonly initramfs: string;
  /** The kernel's command line, the same for every copy of the disk. */
  readonly arguments: string;
}

export interface ConvertedDisk {
  /** Name of the disk's file in the folder it was made in. */
  readonly file: string;
  /** Missing where the converter does not tell what is in its disk. */
  readonly directBoot?: DirectBoot;
}

/** What a converter found in its way before it began, which another one may not mind. */
export class ConverterRefusal extends KvciError {
  constructor({ reason, code, message, hint, facts, cause }: KvciError) {
    super(reason, code, message, { ...(hint === undefined ? {} : { hint }), facts, cause });
  }
}

/** One way from a bootc image to a disk that boots. */
export interface DiskConverter {
  readonly name: ConverterName;
  /** Why this host or this request is not for it, as an error that names it; undefined when it can be used. Changes nothing. */
  unfit(request: DiskRequest, signal: AbortSignal): Promise<KvciError | undefined>;
  /** What else than the request decides what it makes: versions of its programs, the digest of its container. */
  identity(request: DiskRequest, signal: AbortSignal): Promise<Json>;
  /** Makes the disk in a folder of its own, which becomes the artifact. @throws ConverterRefusal for what {@link unfit} could not see */
  convert(request: DiskRequest, folder: string, context: StepContext): Promise<ConvertedDisk>;
}
