import { statfs } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import { formatSize } from '../core/sizes.ts';
import type { PackageManager } from './package-manager.ts';
import type { Directories, HostCheck, HostProblem, Locks } from './types.ts';

/** With less free in the cache folder nothing that is worth making fits. */
const NEEDED_SPACE = 2e9;

/** What the tools image, one base, one payload and one node image take together, with room to move. */
const COMFORTABLE_SPACE = 12e9;

export interface HostCheckParts {
  readonly directories: Directories;
  readonly locks: Locks;
  readonly packageManager: () => Promise<PackageManager | undefined>;
}

/** What kvci needs of any host, whatever the command. */
export function hostChecks(parts: HostCheckParts): HostCheck[] {
  const { cache } = parts.directories;
  const manager = once(parts.packageManager);
  return [
    {
      id: 'platform',
      title: 'operating system and architecture',
      run: () => Promise.resolve(platformProblem(platform(), arch())),
      found: () => Promise.resolve(`${platform()} ${arch()}`),
    },
    {
      id: 'disk-space',
      title: 'free disk space for the cache',
      run: async () => spaceProblem(await freeSpace(cache), cache),
      found: async () => `${formatSize(await freeSpace(cache))} free at ${cache}`,
    },
    { id: 'locks', title: 'locks in the cache folder', run: () => locksProblem(parts.locks, cache) },
    {
      id: 'package-manager',
      title: 'package manager',
      run: async () => managerProblem(await manager()),
      found: async () => String(await manager()),
    },
  ];
}

/** @param system as node names it: `linux`, `darwin` @param cpu `x64`, `arm64` */
export function platformProblem(system: string, cpu: string): HostProblem | undefined {
  if (system === 'linux' && (cpu === 'x64' || cpu === 'arm64')) return undefined;
  return { level: 'error', message: `kvci runs on Linux on x86-64 and arm64; this is ${system} on ${cpu}` };
}

/** @param free in bytes */
export function spaceProblem(free: number, folder: string): HostProblem | undefined {
  if (free >= COMFORTABLE_SPACE) return undefined;
  const message = `${formatSize(free)} free at ${folder}; building an image from scratch takes up to ${formatSize(COMFORTABLE_SPACE)}`;
  return { level: free < NEEDED_SPACE ? 'error' : 'warning', message: `${message} ("kvci cache prune" makes room)` };
}

function managerProblem(manager: PackageManager | undefined): HostProblem | undefined {
  if (manager !== undefined) return undefined;
  return { level: 'warning', message: 'neither apt nor dnf manages this host: what is missing has to be installed by hand' };
}

/** Network file systems without a lock service, and folders of somebody else, show here and not in the middle of a build. */
async function locksProblem(locks: Locks, cache: string): Promise<HostProblem | undefined> {
  try {
    const lock = await locks.shared(join(cache, 'locks', 'doctor'));
    await lock[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    if (!(error instanceof KvciError) && !hasErrno(error, 'EACCES', 'EROFS', 'ENOSPC', 'EPERM', 'ENOTDIR')) throw error;
    return { level: 'error', message: `cannot lock files in ${cache}; KVCI_CACHE_DIR names another folder` };
  }
}

/** Bytes that this user may still write at a folder, or at where it will be made. */
async function freeSpace(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (hasErrno(error, 'ENOENT') && dirname(folder) !== folder) return freeSpace(dirname(folder));
    throw error;
  }
}

function once<Result>(ask: () => Promise<Result>): () => Promise<Result> {
  let asked: Promise<Result> | undefined;
  return () => (asked ??= ask());
}
