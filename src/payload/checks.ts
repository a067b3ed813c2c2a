import { statfs } from 'node:fs/promises';
import semver from 'semver';

import { KvciError } from '../core/errors.ts';
import { formatSize } from '../core/sizes.ts';
import type { CommandRunner, HostCheck, HostProblem } from '../host/types.ts';
import { hostGo, OLDEST_GO } from './go-program.ts';

/** Modules, Go's build cache and the programs of one Kubernetes version: about 6 GB were seen, 3 of them build cache. */
const BUILD_SPACE = 8_000_000_000;

/** What payload source `modules` needs of the host. */
export function modulesChecks(commands: CommandRunner, cache: string): HostCheck[] {
  return [
    { id: 'go', title: 'Go', run: () => checkGo(commands) },
    { id: 'build-space', title: 'disk space to build Kubernetes', run: () => checkSpace(cache) },
  ];
}

async function checkGo(commands: CommandRunner): Promise<HostProblem | undefined> {
  let version: string;
  try {
    ({ version } = await hostGo((program, args) => commands.run([program, ...args], { cwd: '/' })));
  } catch (error) {
    if (!(error instanceof KvciError)) throw error;
    return {
      level: 'error',
      message: 'Go is not installed; payload source "modules" builds Kubernetes with it',
      packages: { apt: ['golang-go'], dnf: ['golang'] },
      error,
    };
  }
  return goProblem(version);
}

/** Go 1.21 and newer fetch the toolchain of a lock themselves, for older ones kvci does; what is older still needs another Go. */
export function goProblem(version: string): HostProblem | undefined {
  const found = semver.coerce(version);
  if (found === null || semver.gte(found, OLDEST_GO)) return undefined;
  return {
    level: 'error',
    message: `Go ${version} is too old to fetch the toolchain that Kubernetes needs; ${OLDEST_GO} or newer can (https://go.dev/dl/)`,
    packages: { apt: ['golang-go'], dnf: ['golang'] },
  };
}

async function checkSpace(cache: string): Promise<HostProblem | undefined> {
  const { bavail, bsize } = await statfs(cache);
  return spaceProblem(bavail * bsize, cache);
}

export function spaceProblem(free: number, cache: string): HostProblem | undefined {
  if (free >= BUILD_SPACE) return undefined;
  return {
    level: 'warning',
    message: `${formatSize(free)} are free at ${cache}; building Kubernetes takes up to ${formatSize(BUILD_SPACE)} ("kvci cache prune" makes room)`,
  };
}
