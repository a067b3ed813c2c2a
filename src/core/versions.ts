import semver from 'semver';

import { KvciError } from './errors.ts';

/** The oldest Kubernetes minor that kvci builds. */
export const OLDEST_MINOR = '1.31';

/** What `--k8s` asks for: the newest patch of a minor, one exact version, or the newest stable there is. */
export type VersionRequest = MinorRequest | ExactRequest | { readonly kind: 'stable' };

interface MinorRequest {
  readonly kind: 'minor';
  readonly minor: string;
}

interface ExactRequest {
  readonly kind: 'exact';
  readonly version: string;
}

/**
 * Reads `1.31`, `v1.31`, `1.31.4`, `v1.36.0-rc.1` or `stable`. Versions inside kvci carry no leading `v`.
 *
 * @throws KvciError `bad-version`, `version-too-old`
 */
export function parseVersionRequest(text: string): VersionRequest {
  if (text.trim() === 'stable') return { kind: 'stable' };
  const word = text.trim().replace(/^v/, '');
  const request = minorRequest(word) ?? exactRequest(word);
  if (request === undefined) {
    throw new KvciError('usage', 'bad-version', `"${text}" is not a Kubernetes version`, {
      hint: 'Give a minor (1.31), a full version (1.31.4) or "stable".',
    });
  }
  const minor = request.kind === 'exact' ? minorOf(request.version) : request.minor;
  if (semver.lt(`${minor}.0`, `${OLDEST_MINOR}.0`)) {
    throw new KvciError('usage', 'version-too-old', `Kubernetes ${text} is older than ${OLDEST_MINOR}, the oldest that kvci builds`);
  }
  return request;
}

function minorRequest(word: string): MinorRequest | undefined {
  return /^\d+\.\d+$/.test(word) && semver.valid(`${word}.0`) !== null ? { kind: 'minor', minor: word } : undefined;
}

/** A version with build metadata (`1.31.4+k3s1`) is somebody's own and not what Kubernetes releases. */
function exactRequest(word: string): ExactRequest | undefined {
  return semver.valid(word) === word ? { kind: 'exact', version: word } : undefined;
}

/** `1.31` of `1.31.4`. */
export function minorOf(version: string): string {
  return `${String(semver.major(version))}.${String(semver.minor(version))}`;
}

/** True when a (pre-release) version lies in a semver range such as `>=1.36`. */
export function inRange(version: string, range: string): boolean {
  return semver.satisfies(version, range, { includePrerelease: true });
}

/** Newest first, those that are not versions left out, without a leading `v`. */
export function newestFirst(versions: Iterable<string>): string[] {
  const valid = [...versions].flatMap((version) => semver.valid(version) ?? []);
  return [...new Set(valid)].toSorted(semver.rcompare);
}

/** True for `1.36.3`, false for `1.36.0-rc.1`. */
export function isStable(version: string): boolean {
  return semver.prerelease(version) === null;
}
