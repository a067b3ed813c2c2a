import { readFile } from 'node:fs/promises';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { CommandRunner, HostProblem } from './types.ts';

/** The package managers that kvci knows how to ask. */
export type PackageManager = 'apt' | 'dnf';

export type Argv = readonly [string, ...string[]];

const PROGRAMS = { apt: 'apt-get', dnf: 'dnf' } as const satisfies Record<PackageManager, string>;

/** Distributions of os-release's ID and ID_LIKE, by what manages their packages. */
const DISTRIBUTIONS: Readonly<Record<string, PackageManager>> = {
  debian: 'apt',
  ubuntu: 'apt',
  fedora: 'dnf',
  rhel: 'dnf',
  centos: 'dnf',
};

/**
 * What manages the packages of a host with this os-release text. What is installed does not tell: dnf is a package of Debian,
 * apt one of Fedora.
 */
export function managerOfRelease(osRelease: string): PackageManager | undefined {
  const words = ['ID', 'ID_LIKE'].flatMap((key) => {
    const value = new RegExp(`^${key}=["']?([^"'\\n]*)`, 'm').exec(osRelease)?.[1] ?? '';
    return value.split(/\s+/);
  });
  for (const word of words) {
    const manager = DISTRIBUTIONS[word];
    if (manager !== undefined) return manager;
  }
  return undefined;
}

/** The package manager of this host, if it is one that kvci knows and it is there: image-mode hosts and containers may lack it. */
export async function findPackageManager(commands: CommandRunner, osReleaseFile = '/etc/os-release'): Promise<PackageManager | undefined> {
  let text: string;
  try {
    text = await readFile(osReleaseFile, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  const manager = managerOfRelease(text);
  if (manager === undefined) return undefined;
  try {
    await commands.run([PROGRAMS[manager], '--version']);
    return manager;
  } catch (error) {
    if (error instanceof KvciError && error.code === 'command-missing') return undefined;
    throw error;
  }
}

/** What root runs to install packages, without questions and without what is only recommended. */
export function installCommands(manager: PackageManager, packages: Iterable<string>): readonly Argv[] {
  const names = [...new Set(packages)].toSorted();
  if (names.length === 0) return [];
  switch (manager) {
    case 'apt':
      return [
        ['apt-get', 'update'],
        ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', '--yes', '--no-install-recommends', ...names],
      ];
    case 'dnf':
      return [['dnf', 'install', '--assumeyes', '--setopt=install_weak_deps=False', ...names]];
  }
}

/**
 * Everything that mends these problems: one installation of all packages, then the commands, none twice. Without a package
 * manager that kvci knows, packages are left to the reader of the problem.
 */
export function fixCommands(problems: readonly HostProblem[], manager: PackageManager | undefined): readonly Argv[] {
  const packages = manager === undefined ? [] : problems.flatMap((problem) => problem.packages?.[manager] ?? []);
  const commands = [
    ...(manager === undefined ? [] : installCommands(manager, packages)),
    ...problems.flatMap((problem) => problem.commands ?? []),
  ];
  const seen = new Set<string>();
  return commands.filter((argv) => {
    const key = JSON.stringify(argv);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
