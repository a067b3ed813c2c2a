import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import semver from 'semver';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { CommandResult, CommandRunner } from '../host/types.ts';

/** In PATH, and where https://go.dev/doc/install puts it: ordinary users often have that in no PATH. */
const PLACES = ['go', '/usr/local/go/bin/go'] as const;

/** From this version on Go fetches other toolchains by itself: https://go.dev/doc/toolchain */
const SWITCHES_TOOLCHAINS = '1.21.0';

/** The oldest Go that was seen to fetch a toolchain as a module. */
export const OLDEST_GO = '1.19.0';

/** Go's releases as a module; a version is `v0.0.1-go1.26.8.linux-amd64`. */
const TOOLCHAIN = 'golang.org/toolchain';

export interface GoProgramFound {
  /** What to run. */
  readonly path: string;
  /** `1.26.8` */
  readonly version: string;
}

type RunGo = (program: string, args: readonly string[]) => Promise<CommandResult>;

/** The host's Go. @throws KvciError `command-missing` */
export async function hostGo(run: RunGo): Promise<GoProgramFound> {
  let missing: unknown;
  for (const path of PLACES) {
    try {
      const { stdout } = await run(path, ['env', 'GOVERSION']);
      return { path, version: goVersionOf(stdout) };
    } catch (error) {
      if (!(error instanceof KvciError) || error.code !== 'command-missing') throw error;
      missing ??= error;
    }
  }
  throw missing;
}

/** `1.26.8` of `go1.26.8 X:nocoverageredesign`. */
export function goVersionOf(output: string): string {
  return output.trim().replace(/^go/, '').split(/\s/, 1)[0] ?? '';
}

/**
 * A Go that can fetch the toolchain that a lock names: the host's, or where that is too old the newest release that its module
 * proxy serves, taken as a module, checksum verified, as newer Go does itself.
 *
 * @throws KvciError `command-missing`, `go-too-old`, `offline`, `go-proxy-failed`
 */
export async function findGo(commands: CommandRunner, environment: Readonly<Record<string, string | undefined>>): Promise<GoProgramFound> {
  const run: RunGo = (program, args) => commands.run([program, ...args], { cwd: '/', env: environment });
  const host = await hostGo(run);
  if (semver.gte(semver.coerce(host.version) ?? '0.0.0', SWITCHES_TOOLCHAINS)) return host;
  const folder = (await cachedToolchain(host, run)) ?? (await fetchToolchain(host, run));
  const path = join(folder, 'bin/go');
  return { path, version: goVersionOf((await run(path, ['env', 'GOVERSION'])).stdout) };
}

/** The newest toolchain in the module cache. */
async function cachedToolchain(host: GoProgramFound, run: RunGo): Promise<string | undefined> {
  const [cache = '', architecture = ''] = (await run(host.path, ['env', 'GOMODCACHE', 'GOHOSTARCH'])).stdout.split('\n');
  const names = await readdir(join(cache, 'golang.org')).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const newest = newestToolchain(
    names.filter((name) => name.startsWith('toolchain@')).map((name) => name.slice('toolchain@'.length)),
    architecture,
  );
  if (newest === undefined) return undefined;
  return makeExecutable(join(cache, 'golang.org', `toolchain@${newest}`));
}

async function fetchToolchain(host: GoProgramFound, run: RunGo): Promise<string> {
  const architecture = (await run(host.path, ['env', 'GOHOSTARCH'])).stdout.trim();
  const listed = (await run(host.path, ['list', '-m', '-versions', TOOLCHAIN])).stdout.trim().split(' ');
  const newest = newestToolchain(listed, architecture);
  if (newest === undefined) {
    throw new KvciError('hostNotReady', 'go-too-old', `Go ${host.version} is too old, and its module proxy serves no newer toolchain`, {
      hint: `Install Go ${SWITCHES_TOOLCHAINS} or newer, for example from https://go.dev/dl/.`,
    });
  }
  const { stdout } = await run(host.path, ['mod', 'download', '-json', `${TOOLCHAIN}@${newest}`]);
  const folder = /"Dir": "([^"]+)"/.exec(stdout)?.[1];
  if (folder === undefined) throw new KvciError('failed', 'go-output', `go mod download did not say where ${newest} is`);
  return makeExecutable(folder);
}

/** The newest release for one architecture among versions of the toolchain module; no betas or release candidates. */
export function newestToolchain(versions: readonly string[], architecture: string): string | undefined {
  const releases = versions.flatMap((version) => {
    const match = /^v0\.0\.1-go(\d+\.\d+\.\d+)\.linux-(\w+)$/.exec(version);
    return match?.[1] === undefined || match[2] !== architecture ? [] : [{ version, release: match[1] }];
  });
  return releases.toSorted((a, b) => semver.rcompare(a.release, b.release))[0]?.version;
}

/** Module zips carry no modes. */
async function makeExecutable(folder: string): Promise<string> {
  const tools = join(folder, 'pkg/tool');
  const programs = [join(folder, 'bin'), ...(await readdir(tools)).map((name) => join(tools, name))];
  for (const place of programs) for (const name of await readdir(place)) await chmod(join(place, name), 0o755);
  return folder;
}
