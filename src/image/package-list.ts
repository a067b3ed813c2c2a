import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

import { KvciError } from '../core/errors.ts';
import type { TreeEntryWithContent } from '../oci/types.ts';
import type { InstalledPackage } from './sbom.ts';

/** Where the Containerfile of a published base leaves what dpkg or rpm say is installed. */
const PACKAGE_LIST = 'usr/share/kvci/packages.tsv';

/**
 * Reads lines of name, version and architecture with tabs between; sorted, as package managers answer in the order of their
 * databases. rpm counts the keys that it trusts as packages without an architecture: they are none.
 *
 * @throws KvciError `package-list`
 */
export function parsePackageList(list: string): InstalledPackage[] {
  const packages = list
    .split('\n')
    .filter((line) => line !== '')
    .toSorted()
    .map((line): InstalledPackage => {
      const [name = '', version = '', architecture = '', ...rest] = line.split('\t');
      if (name !== '' && version !== '' && architecture !== '' && rest.length === 0) return { name, version, architecture };
      throw new KvciError('failed', 'package-list', `the built image lists a package as "${line}"`);
    })
    .filter(({ architecture }) => architecture !== '(none)');
  if (packages.length === 0) throw new KvciError('failed', 'package-list', 'the built image lists no package');
  return packages;
}

/**
 * Takes the package list out of what a build added to its base.
 *
 * @throws KvciError `package-list` where the build left none, or one that is none
 */
export async function takePackageList(
  entries: readonly TreeEntryWithContent[],
): Promise<{ readonly entries: readonly TreeEntryWithContent[]; readonly installed: readonly InstalledPackage[] }> {
  const list = entries.find(({ path }) => path === PACKAGE_LIST);
  if (list === undefined) throw new KvciError('failed', 'package-list', `the build left no /${PACKAGE_LIST}`);
  const installed = parsePackageList(await text(list.content()));
  return { entries: entries.filter((entry) => entry !== list), installed };
}

/** The entries with other contents for some of their files, by path. */
export function replaceContents(
  entries: readonly TreeEntryWithContent[],
  contents: ReadonlyMap<string, string>,
): readonly TreeEntryWithContent[] {
  return entries.map((entry) => {
    const content = contents.get(entry.path);
    if (content === undefined) return entry;
    const bytes = Buffer.from(content);
    return { ...entry, size: bytes.byteLength, content: () => Readable.from([bytes]) };
  });
}
