import { statfs } from 'node:fs/promises';
import semver from 'semver';

import { KvciError } from '../core/errors.ts';
import { formatSize } from '../core/sizes.ts';
import type { HostCheck, HostProblem } from '../host/types.ts';
import type { GoClient } from './go-client.ts';

/** From this version on Go fetches the toolchain that a build names: https://go.dev/doc/toolchain */
const OLDEST_GO = '1.21.0';

/** Modules, Go's build cache and the programs of one Kubernetes version: measured at 5.2 GB, with room to move. */
const BUILD_SPACE = 8_000_000_000;

/** What payload source `modules` needs of the host. */
export function modulesChecks(go: Pick<GoClient, 'hostVersion'>, cache: string): HostCheck[] {
  return [
    { id: 'go', title: 'Go that can fetch toolchains', run: () => checkGo(go) },
    { id: 'build-space', title: 'disk space to build Kubernetes', run: () => checkSpace(cache) },
  ];
}

async function checkGo(go: Pick<GoClient, 'hostVersion'>): Promise<HostProblem | undefined> {
  let version: string;
  try {
    version = await go.hostVersion();
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

/** A distribution's Go may be too old, and then no package of it mends that. */
export function goProblem(version: string): HostProblem | undefined {
  const found = semver.coerce(version);
  if (found !== null && semver.gte(found, OLDEST_GO)) return undefined;
  return {
    level: 'error',
    message: `Go ${version} cannot fetch the toolchain that Kubernetes needs; ${OLDEST_GO} or newer can (a newer one from https://go.dev/dl/, or the distribution's backports)`,
    packages: { apt: ['golang-1.24-go'], dnf: ['golang'] },
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
    message: `${formatSize(free)} are free at ${cache}; building Kubernetes takes up to ${formatSize(BUILD_SPACE)}`,
    commands: [['kvci', 'cache', 'prune', '--keep', '5G']],
  };
}
