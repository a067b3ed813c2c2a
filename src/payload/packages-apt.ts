import type { Downloads } from '../host/types.ts';
import { fetchIndex, type IndexFile, type ListedPackage, READABLE_SUFFIXES, unreadable } from './packages-repository.ts';
import { type RepositoryKey, verifiedText, verifyDetached } from './packages-signature.ts';
import { orUndefined } from './release-versions.ts';

/**
 * Packages of a flat apt repository (`deb [signed-by=…] URL /`), every byte of their list under its signature.
 *
 * Format: https://wiki.debian.org/DebianRepository/Format
 *
 * @throws KvciError `bad-signature`, `bad-key`, `checksum-mismatch`, `not-served`, `repository-unreadable`
 */
export async function aptPackages(
  downloads: Downloads,
  baseUrl: string,
  key: RepositoryKey,
  signal: AbortSignal,
): Promise<ListedPackage[]> {
  const release = await signedRelease(downloads, baseUrl, key, signal);
  const index = packagesIndex(release, baseUrl);
  return readPackages(await fetchIndex(downloads, baseUrl, index, signal), `${baseUrl}${index.path}`);
}

/** `InRelease`, or `Release` with `Release.gpg` where an older repository has no `InRelease`. */
async function signedRelease(downloads: Downloads, baseUrl: string, key: RepositoryKey, signal: AbortSignal): Promise<string> {
  const url = `${baseUrl}InRelease`;
  const inline = await orUndefined(downloads.text({ url, signal }));
  if (inline !== undefined) return verifiedText(inline, url, key);
  const [release, signature] = await Promise.all([
    downloads.text({ url: `${baseUrl}Release`, signal }),
    downloads.text({ url: `${baseUrl}Release.gpg`, signal }),
  ]);
  await verifyDetached(release, signature, `${baseUrl}Release.gpg`, key);
  return release;
}

/** The best list of packages that a Release file names. */
export function packagesIndex(release: string, baseUrl: string): IndexFile {
  const section = /^SHA256:[ \t]*\n((?:[ \t]+.*\n?)+)/m.exec(release)?.[1] ?? '';
  const files = new Map(
    section.split('\n').flatMap((line) => {
      const [hex, , path] = line.trim().split(/\s+/);
      return hex === undefined || path === undefined ? [] : [[path.replace(/^\.\//, ''), hex] as const];
    }),
  );
  for (const suffix of READABLE_SUFFIXES) {
    const hex = files.get(`Packages${suffix}`);
    if (hex !== undefined && /^[0-9a-f]{64}$/.test(hex)) return { path: `Packages${suffix}`, sha256: `sha256:${hex}` };
  }
  throw unreadable(`${baseUrl}Release`, 'names no list of packages with a sha256');
}

/** Reads the stanzas of a `Packages` file. @throws KvciError `repository-unreadable` */
export function readPackages(text: string, url: string): ListedPackage[] {
  return text
    .split(/\n\s*\n/)
    .filter((stanza) => stanza.trim() !== '')
    .map((stanza) => {
      const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(stanza)?.[1]?.trim() ?? '';
      const [name, version, architecture, hex] = ['Package', 'Version', 'Architecture', 'SHA256'].map(field) as [
        string,
        string,
        string,
        string,
      ];
      if (name === '' || version === '' || !/^[0-9a-f]{64}$/.test(hex))
        throw unreadable(url, 'has a stanza without Package, Version or SHA256');
      return { name, version, architecture, sha256: `sha256:${hex}` };
    });
}
