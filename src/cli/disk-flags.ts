import { resolve } from 'node:path';

import type { Command } from 'commander';

import type { LoadedConfig } from '../config/load.ts';
import { KvciError } from '../core/errors.ts';
import { diskOptionsSchema } from '../disk/options.ts';
import { collect } from './command.ts';
import { badFlag, imageOptions, present } from './image-flags.ts';
import type { WantedDisk } from './services.ts';

/** The flags that say what disk to make. */
export interface DiskFlags {
  readonly k8s?: string;
  readonly format?: string;
  readonly converter?: string;
  readonly converterImage?: string;
  readonly size?: string;
  readonly filesystem?: string;
  readonly karg?: readonly string[];
  readonly sshKey?: readonly string[];
}

const FLAG_OF_KEY = {
  format: '--format',
  converter: '--converter',
  converterImage: '--converter-image',
  size: '--size',
  filesystem: '--filesystem',
  kargs: '--karg',
} as const;

/** Names of the flags that were given of those that say what a disk to make is like. */
export function givenDiskFlags({ format, converter, converterImage, size, filesystem, karg, sshKey }: DiskFlags): readonly string[] {
  const { kargs, ...single } = FLAG_OF_KEY;
  const given = Object.keys(present({ format, converter, converterImage, size, filesystem }));
  return [
    ...given.map((key) => single[key as keyof typeof single]),
    ...(karg === undefined ? [] : [kargs]),
    ...(sshKey === undefined ? [] : ['--ssh-key']),
  ];
}

export function addDiskFlags(command: Command): Command {
  return command
    .option('--k8s <version>', 'Kubernetes version of an image to build first, instead of IMAGE')
    .option('--format <format>', 'qcow2 (compressed) or raw (sparse) (default: qcow2)')
    .option('--converter <name>', 'auto, native, bootc-image-builder or image-builder (default: auto)')
    .option('--converter-image <ref>', 'where a converter that is a container comes from (default: where it is published)')
    .option('--size <size>', 'size of the virtual disk (default: 10G)')
    .option('--filesystem <type>', 'ext4 or xfs (default: ext4)')
    .option('--karg <argument>', 'kernel argument to add; may be repeated', collect)
    .option('--ssh-key <file>', 'public key that may log in as root; may be repeated', collect);
}

/**
 * The disk that kvci.yaml and the words and flags of a command over it ask for. Kernel arguments are added to, everything else is replaced.
 *
 * @throws KvciError `bad-flag`, `missing-image`
 */
export function wantedDisk(loaded: LoadedConfig, image: string | undefined, flags: DiskFlags, cwd: string): WantedDisk {
  const { format, converter, converterImage, size, filesystem, karg, sshKey = [] } = flags;
  const { disk } = loaded.config;
  const kargs = [...(disk?.kargs ?? []), ...(karg ?? [])];
  const parsed = diskOptionsSchema.safeParse({ ...disk, ...present({ format, converter, converterImage, size, filesystem }), kargs });
  if (!parsed.success) throw badFlag(parsed.error.issues[0], FLAG_OF_KEY, 'disk build');
  if (image !== undefined && flags.k8s !== undefined) {
    throw new KvciError('usage', 'two-images', 'an image and --k8s are given', { hint: 'Name an image that is there, or what to build.' });
  }
  const k8s = flags.k8s ?? loaded.config.image?.k8s;
  if (image === undefined && k8s === undefined) {
    throw new KvciError('usage', 'missing-image', 'no image is given', {
      hint: 'Name one of "kvci image list", a folder with an OCI layout, or what to build: --k8s 1.31',
    });
  }
  return {
    options: parsed.data,
    sshKeys: sshKey.map((file) => resolve(cwd, file)),
    image: image === undefined ? { kind: 'built', options: imageOptions(loaded, present({ k8s })) } : { kind: 'stored', ref: image },
  };
}
