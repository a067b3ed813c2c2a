import { link, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { digestOf, type Digest, hexOf, sha256 } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import type { Artifact, ArtifactStore, CommandRunner, Downloads } from '../host/types.ts';
import type { DebianArchives, DebianPackage, DebianPackageSet } from './debian-types.ts';

/** Artifact kind: a flat apt repository of exactly the packages of a set. */
export const REPOSITORY_KIND = 'debian-packages';

/** Downloads at the same time. */
const PARALLEL = 8;

export interface RepositoryParts {
  readonly store: ArtifactStore;
  readonly downloads: Downloads;
  /** Where dpkg-deb runs, seeing the store's folder at the same path. */
  readonly commands: CommandRunner;
  /** Asked only when a package is not here already. */
  readonly archives: () => Promise<DebianArchives>;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The key of everything made of exactly these packages: mirrors and places in them do not matter. */
export function packageSetKey(set: DebianPackageSet): Digest {
  return digestOf({
    suite: set.suite,
    architecture: set.architecture,
    packages: set.packages.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
  });
}

/**
 * The packages of a set as a repository of their own, kept by digest: what a mirror no longer serves still builds. Packages
 * that another repository here has already are linked from it.
 *
 * @throws KvciError `package-not-served` naming package and version, `offline`, `checksum-mismatch`
 */
export async function fetchPackages(set: DebianPackageSet, parts: RepositoryParts): Promise<Artifact> {
  const key = packageSetKey(set);
  return (
    (await parts.store.find(REPOSITORY_KIND, key)) ??
    (await parts.store.make({
      kind: REPOSITORY_KIND,
      key,
      inputs: { suite: set.suite, architecture: set.architecture, wanted: set.wanted, packages: set.packages.length },
      title: `${set.packages.length} Debian packages (${set.suite}, ${set.architecture}): ${some(set.wanted)}, with what they need`,
      signal: parts.signal,
      build: (folder) => fillRepository(folder, set, parts),
    }))
  );
}

/** The first few, for a title. */
function some(words: readonly string[]): string {
  return words.length > 4 ? `${words.slice(0, 3).join(', ')} and ${words.length - 3} more` : words.join(', ');
}

export type GatherParts = Omit<RepositoryParts, 'commands' | 'store'> & { readonly store: Pick<ArtifactStore, 'list'> };

/**
 * Puts the packages of a set into a folder on the store's disk, named as {@link fileOf} has it: linked from a repository that
 * has them, else downloaded and checked.
 *
 * @throws as {@link fetchPackages}
 */
export async function gatherPackages(folder: string, set: DebianPackageSet, parts: GatherParts): Promise<void> {
  const others = (await parts.store.list()).filter(({ kind }) => kind === REPOSITORY_KIND);
  const missing: DebianPackage[] = [];
  for (const wanted of set.packages) if (!(await linkFrom(others, wanted, folder))) missing.push(wanted);
  if (missing.length > 0) await downloadAll(missing, folder, parts);
}

async function fillRepository(folder: string, set: DebianPackageSet, parts: RepositoryParts): Promise<{ packages: number }> {
  await gatherPackages(folder, set, parts);

  const files = set.packages.map(fileOf);
  const { stdout } = await parts.commands.run(['sh', '-c', 'for file; do dpkg-deb --field "$file"; echo; done', 'sh', ...files], {
    cwd: folder,
    signal: parts.signal,
  });
  const index = packagesIndex(set.packages, stdout);
  await writeFile(join(folder, 'Packages'), index);
  await writeFile(join(folder, 'Release'), releaseFile(set, index));
  return { packages: set.packages.length };
}

async function linkFrom(others: readonly Artifact[], wanted: DebianPackage, folder: string): Promise<boolean> {
  for (const other of others) {
    try {
      await link(join(other.path, fileOf(wanted)), join(folder, fileOf(wanted)));
      return true;
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
  }
  return false;
}

async function downloadAll(missing: readonly DebianPackage[], folder: string, parts: GatherParts): Promise<void> {
  const archives = await parts.archives();
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  const failed = new AbortController();
  const signal = AbortSignal.any([parts.signal, failed.signal]);
  const queue = missing.values();
  let done = 0;
  const work = async (): Promise<void> => {
    for (const wanted of queue) {
      await download(wanted, archives, folder, parts.downloads, signal);
      done += wanted.size;
      parts.onProgress?.(done, total);
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, work));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

async function download(
  wanted: DebianPackage,
  archives: DebianArchives,
  folder: string,
  downloads: Downloads,
  signal: AbortSignal,
): Promise<void> {
  let refused: unknown;
  for (const url of urlsOf(wanted, archives)) {
    try {
      await downloads.file({ url, sha256: wanted.sha256, signal }, join(folder, fileOf(wanted)));
      return;
    } catch (error) {
      if (!(error instanceof KvciError) || error.code !== 'not-served') throw error;
      refused = error;
    }
  }
  throw new KvciError(
    'notFoundOrExists',
    'package-not-served',
    `${wanted.name} ${wanted.version} (${wanted.architecture}) is not served any more by the archive "${wanted.archive}"`,
    {
      hint: 'Run "kvci image lock --update" to move on to what is served now.',
      facts: { package: wanted.name, version: wanted.version, archive: wanted.archive },
      cause: refused,
    },
  );
}

/** Where a package may be; the host's mirrors of its archive first. A `+` in a path means itself only when escaped. */
export function urlsOf(wanted: Pick<DebianPackage, 'archive' | 'filename'>, archives: DebianArchives): string[] {
  const path = wanted.filename.split('/').map(encodeURIComponent).join('/');
  return (archives.get(wanted.archive) ?? []).map((base) => `${base}${path}`);
}

/** By digest and not by name: versions hold characters that apt and file systems read differently. */
export function fileOf({ sha256 }: Pick<DebianPackage, 'sha256'>): string {
  return `${hexOf(sha256)}.deb`;
}

/**
 * The `Packages` index of a repository: each package's own control fields and where it lies.
 * https://wiki.debian.org/DebianRepository/Format#A.22Packages.22_Indices
 */
export function packagesIndex(packages: readonly DebianPackage[], controls: string): string {
  const stanzas = controls.split(/\n\n+/).filter((stanza) => stanza.trim() !== '');
  return packages
    .map((entry, index) => {
      const control = stanzas[index] ?? '';
      if (!control.startsWith(`Package: ${entry.name}\n`)) {
        throw new KvciError('failed', 'package-mismatch', `${fileOf(entry)} is not the package ${entry.name} ${entry.version}`);
      }
      return `${control.trimEnd()}\nFilename: ./${fileOf(entry)}\nSize: ${entry.size}\nSHA256: ${hexOf(entry.sha256)}\n`;
    })
    .join('\n');
}

/** Without it apt knows no suite or code name, and mmdebstrap finds no essential packages. */
export function releaseFile({ suite, architecture }: Pick<DebianPackageSet, 'suite' | 'architecture'>, index: string): string {
  return [
    `Suite: ${suite}`,
    `Codename: ${suite}`,
    `Architectures: ${architecture} all`,
    'Date: Thu, 01 Jan 1970 00:00:00 UTC',
    'SHA256:',
    ` ${hexOf(sha256(index))} ${Buffer.byteLength(index)} Packages`,
    '',
  ].join('\n');
}

/** The `Packages` index of a repository, for SBOMs: licences and sources are told there. */
export function readIndex(repository: Artifact): Promise<string> {
  return readFile(join(repository.path, 'Packages'), 'utf8');
}
