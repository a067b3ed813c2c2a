import { z } from 'zod';

import { formatSize } from '../../core/sizes.ts';
import { answerTo, command, shown } from '../ask.ts';
import { jsonAnswer } from '../json-answer.ts';
import type { StateFact } from '../types.ts';

const BLOCK_DEVICES = command('block-devices', 'lsblk', '--bytes', '--json', '--output', 'NAME,TYPE,SIZE,FSSIZE,MOUNTPOINTS');

/** Size in bytes; old versions of lsblk print numbers as text. */
const bytes = z.coerce.number().nullable().optional();

interface BlockDevice {
  readonly name: string;
  readonly size?: number | null | undefined;
  readonly fssize?: number | null | undefined;
  readonly mountpoints: readonly (string | null)[];
  readonly children: readonly BlockDevice[];
}

const blockDevice: z.ZodType<BlockDevice> = z.object({
  name: z.string(),
  size: bytes,
  fssize: bytes,
  mountpoints: z.array(z.string().nullable()).default([]),
  get children() {
    return z.array(blockDevice).default([]);
  },
});

const devices = z.object({ blockdevices: z.array(blockDevice) });

/** Beside the root partition a disk has what boots it, and a file system has tables of its own. */
const SMALLEST_SHARE = 0.9;
const BESIDE_ROOT = 768 * 1024 * 1024;

/** The disk that the root file system lies on, and that file system, in bytes; undefined where lsblk shows none, or something else. */
export function rootDisk(text: string): { readonly disk: number; readonly filesystem: number } | undefined {
  const { blockdevices } = jsonAnswer(text, devices) ?? { blockdevices: [] };
  const hasRoot = (device: BlockDevice): boolean => device.mountpoints.some((path) => path === '/sysroot' || path === '/');
  for (const disk of blockdevices) {
    const root = [disk, ...disk.children].find(hasRoot);
    if (root !== undefined) return { disk: disk.size ?? 0, filesystem: root.fssize ?? 0 };
  }
  return undefined;
}

const grown: StateFact = {
  id: 'disk-size',
  title: 'the root file system fills the disk that the machine was given',
  on: ['machine'],
  when: 'each-boot',
  asks: () => [BLOCK_DEVICES],
  *check(look, { diskSize }) {
    const file = '/usr/lib/systemd/system/kvci-grow-root.service';
    const answer = answerTo(look, BLOCK_DEVICES);
    const root = answer.exitCode === 0 ? rootDisk(answer.text) : undefined;
    if (root === undefined) {
      yield { expected: 'a disk with the root file system', seen: shown(answer), file };
      return;
    }
    if (diskSize !== undefined && root.disk !== diskSize)
      yield { expected: `a disk of ${formatSize(diskSize)}`, seen: formatSize(root.disk), file };
    const least = (root.disk - BESIDE_ROOT) * SMALLEST_SHARE;
    if (root.filesystem < least)
      yield { expected: `a root file system of at least ${formatSize(least)}`, seen: formatSize(root.filesystem), file };
  },
};

export const DISK_FACTS: readonly StateFact[] = [grown];
