import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { hasErrno } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { DiskSettings } from '../disk/options.ts';
import type { BuildSettings } from '../image/build.ts';
import { type DiskSource, requireDisk } from '../machine/qemu/disk-source.ts';
import type { DiskService } from './services.ts';

/**
 * What a word on the command line boots: a file that is a disk, or the disk of an image, which is made first if it is not there.
 *
 * @param options how a disk is made: what kvci.yaml says of it
 * @throws KvciError `disk-not-found`, and what making a disk throws
 */
export async function diskToBoot(
  word: string,
  cwd: string,
  options: DiskSettings,
  disks: () => Promise<DiskService>,
  settings: BuildSettings,
  run: RunContext,
): Promise<DiskSource> {
  const path = resolve(cwd, word);
  if (await isDiskFile(word, path)) {
    await requireDisk(path);
    return { path };
  }
  const wanted = { options, sshKeys: [], image: { kind: 'stored', ref: word } } as const;
  const disk = await (await disks()).build(wanted, settings, undefined, run);
  return { path: disk.path, ...(disk.directBoot === undefined ? {} : { directBoot: disk.directBoot }) };
}

/** A folder may be an OCI layout; a name that looks like a disk's is never that of an image. */
export async function isDiskFile(word: string, path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory();
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
    return /\.(qcow2|raw|img)$/.test(word);
  }
}
