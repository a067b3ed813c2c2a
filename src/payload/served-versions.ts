import semver from 'semver';

import { KvciError } from '../core/errors.ts';
import { isStable, minorOf, newestFirst, type VersionRequest } from '../core/versions.ts';

/**
 * Kubernetes versions to try for a request, best first. `listed` is what the proxy lists; only an exact request may name a
 * version that it does not list (lists of proxies are not always whole).
 */
export function kubernetesCandidates(request: VersionRequest, listed: readonly string[]): string[] {
  switch (request.kind) {
    case 'exact':
      return [request.version];
    case 'minor':
      return preferStable(newestFirst(listed).filter((version) => minorOf(version) === request.minor));
    case 'stable':
      return newestFirst(listed).filter(isStable);
  }
}

function preferStable(versions: readonly string[]): string[] {
  const stable = versions.filter(isStable);
  return stable.length > 0 ? stable : [...versions];
}

/** The newest stable patch of the same minor, if it is newer than `version`. `existing` are versions known by any sign. */
export function newerPatch(version: string, existing: readonly string[]): string | undefined {
  return newestFirst(existing).find((other) => isStable(other) && minorOf(other) === minorOf(version) && semver.gt(other, version));
}

/** `1.36.3` of the staging module version `0.36.3`. */
export function kubernetesOfStaging(version: string): string {
  return version.replace(/^0\./, '1.');
}

/** `v0.36.3` for `1.36.3`. */
export function stagingVersion(kubernetes: string): string {
  return `v${kubernetes.replace(/^1\./, '0.')}`;
}

/**
 * Versions to try in place of `wanted`, nearest first: itself, then patches of its minor (newer before older at equal
 * distance), then the lowest of newer minors, then the newest of older ones. Pre-releases only where asked for.
 */
export function nearestVersions(wanted: string, served: readonly string[]): string[] {
  const stable = newestFirst(served).filter((version) => isStable(version) || version === wanted);
  const patch = semver.patch(wanted);
  const distance = (version: string): number => Math.abs(semver.patch(version) - patch) - (semver.gt(version, wanted) ? 0.5 : 0);
  const sameMinor = stable.filter((version) => minorOf(version) === minorOf(wanted)).toSorted((a, b) => distance(a) - distance(b));
  const others = stable.filter((version) => minorOf(version) !== minorOf(wanted));
  const newer = others.filter((version) => semver.gt(version, wanted)).toSorted(semver.compare);
  const older = others.filter((version) => semver.lt(version, wanted));
  const first = sameMinor.filter((version) => version === wanted);
  return [...first, ...sameMinor.filter((version) => version !== wanted), ...newer, ...older];
}

/** Why a version could not be taken. */
export interface Refusal {
  readonly version: string;
  readonly reason: string;
}

/** The error for a request that the proxy cannot fulfil: names what was tried, lists what is there. */
export function versionNotServed(request: VersionRequest, listed: readonly string[], refusals: readonly Refusal[]): KvciError {
  const asked = request.kind === 'stable' ? 'a stable version' : request.kind === 'minor' ? request.minor : request.version;
  const why = refusals.map(({ version, reason }) => `\n  ${version}: ${reason}`).join('');
  const minors = [...new Set(newestFirst(listed).filter(isStable).map(minorOf))];
  return new KvciError(
    'notFoundOrExists',
    'version-not-served',
    `the Go module proxy does not serve all modules of Kubernetes ${asked}${why}`,
    {
      hint:
        listed.length === 0
          ? 'It lists no version of k8s.io/kubernetes; see what "go env GOPROXY" names.'
          : `It lists ${listed.slice(0, 20).join(', ')}. Try a minor: ${minors.slice(0, 6).join(', ')}.`,
      facts: { listed, refusals },
    },
  );
}
