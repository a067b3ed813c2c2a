import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import { hasErrno } from '../core/errors.ts';
import { digestFile } from '../host/files.ts';
import type { Architecture } from './types.ts';

/** Programs that a node takes from such a folder, and where they go. The first three must be there. */
export const PLACES: Readonly<Record<string, string>> = {
  kubelet: '/usr/bin/kubelet',
  kubeadm: '/usr/bin/kubeadm',
  kubectl: '/usr/bin/kubectl',
  containerd: '/usr/bin/containerd',
  'containerd-shim-runc-v2': '/usr/bin/containerd-shim-runc-v2',
  ctr: '/usr/bin/ctr',
  crictl: '/usr/bin/crictl',
  runc: '/usr/sbin/runc',
};
const NEEDED = ['kubelet', 'kubeadm', 'kubectl'] as const;

/** A file of the folder by its path in it. */
export const folderFileSchema = z.strictObject({ path: z.string(), digest: digestSchema, size: z.number() });
export type FolderFile = z.output<typeof folderFileSchema>;

export interface FolderContents {
  /** Relative paths by program name. */
  readonly programs: ReadonlyMap<string, string>;
  readonly archives: readonly string[];
}

/** Programs and archives in the places where builds leave them. */
export async function listFolder(path: string, architecture: Architecture): Promise<FolderContents> {
  const folders = ['', 'bin', `local/bin/linux/${architecture}`, 'images', `release-images/${architecture}`];
  const programs = new Map<string, string>();
  const archives: string[] = [];
  for (const folder of folders) {
    for (const entry of await entriesOf(join(path, folder))) {
      const file = relative(path, join(path, folder, entry));
      if (Object.hasOwn(PLACES, entry) && !programs.has(entry)) programs.set(entry, file);
      if (entry.endsWith('.tar')) archives.push(file);
    }
  }
  return { programs, archives: archives.toSorted() };
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .toSorted();
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

export function missingPrograms({ programs }: FolderContents): string[] {
  return NEEDED.filter((name) => !programs.has(name));
}

export async function digestAll(folder: string, paths: readonly string[]): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  for (const path of paths) {
    files.push({ path, ...(await digestFile(join(folder, path))) });
  }
  return files;
}
