import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

import { type Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Downloads } from '../host/types.ts';
import type { Architecture } from './types.ts';

export const PACKAGE_FORMATS = ['deb', 'rpm'] as const;
export type PackageFormat = (typeof PACKAGE_FORMATS)[number];

export const RPM_ARCHITECTURES: Readonly<Record<Architecture, string>> = { amd64: 'x86_64', arm64: 'aarch64' };

/** A package that a repository lists. */
export interface ListedPackage {
  readonly name: string;
  /** In full, as the package manager takes it: `1.31.4-1.1`, `1.31.4-150500.1.1`. */
  readonly version: string;
  readonly architecture: string;
  readonly sha256: Digest;
}

/** An index file of a repository and what its signed top file says about it. */
export interface IndexFile {
  readonly path: string;
  readonly sha256: Digest;
}

/**
 * A repository's index, checked against its signed digest and decompressed by its name (`.gz`, `.zst`, none).
 *
 * @throws KvciError `checksum-mismatch`, `not-served`, `repository-unreadable`
 */
export async function fetchIndex(downloads: Downloads, baseUrl: string, index: IndexFile, signal: AbortSignal): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-index-'));
  try {
    const file = join(folder, 'index');
    await downloads.file({ url: `${baseUrl}${index.path}`, sha256: index.sha256, signal }, file);
    return decompress(await readFile(file), index.path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function decompress(bytes: Buffer, path: string): string {
  if (path.endsWith('.gz')) return gunzipSync(bytes).toString('utf8');
  if (path.endsWith('.zst')) return zstdDecompressSync(bytes).toString('utf8');
  return bytes.toString('utf8');
}

/** The compressions that {@link fetchIndex} reads, best first. */
export const READABLE_SUFFIXES = ['.zst', '.gz', ''] as const;

const NUMERIC = new Intl.Collator('en', { numeric: true });

/** Newest first by Kubernetes' own kind of versions: numbers between dots and dashes. */
export function newestPackages(packages: readonly ListedPackage[]): ListedPackage[] {
  return packages.toSorted((a, b) => NUMERIC.compare(b.version, a.version));
}

/** `1.31.4` of `1.31.4-1.1`. */
export function upstreamVersion({ version }: Pick<ListedPackage, 'version'>): string {
  return version.replace(/^\d+:/, '').replace(/-.*$/, '').replaceAll('~', '-');
}

export function unreadable(url: string, problem: string, cause?: unknown): KvciError {
  return new KvciError('failed', 'repository-unreadable', `${url} ${problem}`, cause === undefined ? {} : { cause });
}
