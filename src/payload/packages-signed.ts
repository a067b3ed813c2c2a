import { orUndefined } from './release-versions.ts';
import type { Downloads } from '../host/types.ts';
import { aptPackages } from './packages-apt.ts';
import { RPM_ARCHITECTURES, type ListedPackage, type PackageFormat } from './packages-repository.ts';
import { rpmPackages } from './packages-rpm.ts';
import { fingerprints } from './packages-signature.ts';
import type { Architecture } from './types.ts';

/** Where a repository of each format keeps its public key. */
export const KEY_FILES: Readonly<Record<PackageFormat, string>> = { deb: 'Release.key', rpm: 'repodata/repomd.xml.key' };

export interface SignedRepository {
  /** ASCII-armoured. */
  readonly key: string;
  readonly fingerprints: readonly string[];
  /** Of the asked architecture and of none. */
  readonly packages: readonly ListedPackage[];
}

/**
 * A signed repository with its key and its packages; undefined where there is none.
 *
 * @throws KvciError `bad-signature`, `bad-key`, `checksum-mismatch`, `repository-unreadable`
 */
export async function readRepository(
  downloads: Downloads,
  baseUrl: string,
  format: PackageFormat,
  architecture: Architecture,
  signal: AbortSignal,
): Promise<SignedRepository | undefined> {
  const url = `${baseUrl}${KEY_FILES[format]}`;
  const armored = await orUndefined(downloads.text({ url, signal }));
  if (armored === undefined) return undefined;
  const key = { armored, url };
  const listed = await (format === 'deb' ? aptPackages : rpmPackages)(downloads, baseUrl, key, signal);
  const fitting = format === 'deb' ? [architecture, 'all'] : [RPM_ARCHITECTURES[architecture], 'noarch'];
  return { key: armored, fingerprints: await fingerprints(key), packages: listed.filter((one) => fitting.includes(one.architecture)) };
}
