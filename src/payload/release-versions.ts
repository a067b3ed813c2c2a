import semver from 'semver';
import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { inRange, isStable, minorOf, newestFirst, OLDEST_MINOR, type VersionRequest } from '../core/versions.ts';
import type { Downloads } from '../host/types.ts';

/** More minors than Kubernetes supports at any time. */
const MINORS_LISTED = 12;

/** The newest patch of each minor that a release server knows, newest first. */
export async function servedKubernetes(downloads: Downloads, server: string, signal: AbortSignal): Promise<readonly string[]> {
  const newest = await marker(downloads, server, 'stable', signal);
  if (newest === undefined) return [];
  const minors = Array.from({ length: MINORS_LISTED }, (_, index) => semver.minor(newest) - index)
    .map((minor) => `${semver.major(newest)}.${minor}`)
    .filter((minor) => semver.gte(`${minor}.0`, `${OLDEST_MINOR}.0`));
  const versions = await Promise.all(minors.map((minor) => marker(downloads, server, `stable-${minor}`, signal)));
  return newestFirst(versions.filter((version) => version !== undefined));
}

/** The version in a marker file (`stable`, `stable-1.31`); undefined where the server has none. */
export async function marker(downloads: Downloads, server: string, name: string, signal: AbortSignal): Promise<string | undefined> {
  const url = `${server}/release/${name}.txt`;
  const text = await orUndefined(downloads.text({ url, signal }));
  if (text === undefined) return undefined;
  const version = semver.valid(text.trim());
  if (version !== null) return version;
  throw new KvciError('failed', 'bad-answer', `${url} holds no version: ${JSON.stringify(text.slice(0, 80))}`);
}

/** What a download answers; undefined for `not-served`, every other failure goes on. */
export async function orUndefined<T>(download: Promise<T>): Promise<T | undefined> {
  try {
    return await download;
  } catch (error) {
    if (error instanceof KvciError && error.code === 'not-served') return undefined;
    throw error;
  }
}

/** The error for a version that a server does not have; the hint lists what it has. */
export function notServed(request: VersionRequest, server: string, served: readonly string[]): KvciError {
  const asked = request.kind === 'stable' ? 'a stable version' : request.kind === 'minor' ? request.minor : request.version;
  return new KvciError('notFoundOrExists', 'version-not-served', `${server} does not serve Kubernetes ${asked}`, {
    hint: served.length === 0 ? `It serves no version that kvci knows.` : `It serves ${served.join(', ')}, among others.`,
    facts: { asked, server, served },
  });
}

const releasesSchema = z.array(
  z.object({ tag_name: z.string(), draft: z.boolean().default(false), prerelease: z.boolean().default(false) }),
);

/** Stable versions that GitHub lists for a repository (of the last hundred releases), newest first. */
export async function githubVersions(
  downloads: Downloads,
  api: string,
  repository: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const url = `${api}/repos/${repository}/releases?per_page=100`;
  const parsed = releasesSchema.safeParse(parseJson(await downloads.text({ url, signal }), url));
  if (!parsed.success) throw new KvciError('failed', 'bad-answer', `${url} is no list of releases`, { cause: parsed.error });
  return newestFirst(parsed.data.filter(({ draft, prerelease }) => !draft && !prerelease).map((release) => release.tag_name)).filter(
    isStable,
  );
}

function parseJson(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KvciError('failed', 'bad-answer', `${url} is not JSON`, { cause });
  }
}

/** The newest version in a range. @throws KvciError `version-not-served` */
export function newestIn(versions: readonly string[], range: string, name: string): string {
  const found = versions.find((version) => inRange(version, range));
  if (found !== undefined) return found;
  throw new KvciError('notFoundOrExists', 'version-not-served', `no release of ${name} in ${range}`, {
    hint: `There are ${versions.slice(0, 10).join(', ') || 'none'}.`,
    facts: { name, range, versions },
  });
}

/** crictl's version is that of Kubernetes; where its minor is not out yet, the newest older one. */
export function crictlVersion(versions: readonly string[], kubernetes: string): string {
  const minor = minorOf(kubernetes);
  return versions.find((version) => minorOf(version) === minor) ?? newestIn(versions, `<${minor}.0`, 'crictl');
}
