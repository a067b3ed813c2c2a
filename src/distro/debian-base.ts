import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { digestOf, type Digest, type Json } from '../core/digest.ts';
import { digestFile, removeTree } from '../host/files.ts';
import type { Artifact, ArtifactStore } from '../host/types.ts';
import { packageSetKey } from '../sandbox/debian-repository.ts';
import type { DebianHost } from '../sandbox/debian-resolve.ts';
import { buildRoot } from '../sandbox/debian-root.ts';
import type { DebianPackageSet, DebianRequest } from '../sandbox/debian-types.ts';
import { debian13 } from './debian-13.ts';
import type { NodeArchitecture } from './types.ts';

/** Artifact kind: the root file system of the embedded base as a tar, laid out for image mode. */
const BASE_KIND = 'debian-base';

/** The tar in the artifact's folder. */
export const BASE_TAR = 'root.tar';

/**
 * Seconds since the epoch of Debian 13's release: no file of the base is younger, and the accounts of the base were made then. Not
 * 0, which means "password expired" in /etc/shadow.
 */
const RELEASED = Date.UTC(2025, 7, 9) / 1000;

/** A node has nobody who reads manuals. Licences stay. */
const DPKG_OPTIONS = [
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/lintian/*',
  'path-exclude=/usr/share/bug/*',
  'path-exclude=/usr/share/bash-completion/*',
  'path-exclude=/usr/share/zsh/*',
];

/** Runs the layout script over the new root; the folder's name comes in the environment. */
const LAYOUT_HOOK = 'sh "$KVCI_LAYOUT/layout.sh" "$1"';

/** The devices of mmdebstrap's own /dev have no place in an image; its empty folder, on which devtmpfs is mounted, stays. */
const SKIP = ['output/dev'];

/** Facts of a base artifact. */
export interface BaseFacts {
  /** Digest of the tar: as a layer's diff id. */
  readonly digest: Digest;
  readonly size: number;
}

export interface BaseOptions {
  readonly architecture: NodeArchitecture;
  /** `--kernel`; undefined for the cloud kernel. */
  readonly kernel: string | undefined;
  /** `--package`s. */
  readonly packages: readonly string[];
  /** The payload brings no containerd: Debian's has to be in the base. */
  readonly containerd: boolean;
}

/** What the embedded base is made of, to be resolved to exact packages. */
export function debianBaseRequest({ architecture, kernel, packages, containerd }: BaseOptions): DebianRequest {
  const wanted = [...debian13.packages, 'apt', kernel ?? debian13.kernel(architecture), ...(containerd ? ['containerd'] : []), ...packages];
  return { suite: 'trixie', architecture, wanted: [...new Set(wanted)].toSorted() };
}

/** The script and files that lay the root out: those of templates/node below `debian/`, by path relative to it. */
export function debianLayout(templates: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map(
    [...templates].flatMap(([name, text]) => (name.startsWith('debian/') ? [[name.slice('debian/'.length), text] as const] : [])),
  );
}

function baseInputs(set: DebianPackageSet, layout: ReadonlyMap<string, string>): Json {
  return {
    packages: packageSetKey(set),
    layout: Object.fromEntries(layout),
    epoch: RELEASED,
    dpkg: DPKG_OPTIONS,
    hook: LAYOUT_HOOK,
    skip: SKIP,
  };
}

/** The digest of everything that decides the base's bytes. */
export function debianBaseKey(set: DebianPackageSet, layout: ReadonlyMap<string, string>): Digest {
  return digestOf(baseInputs(set, layout));
}

export interface BaseParts {
  readonly store: ArtifactStore;
  /** Sees the store's folder and the repository at the same paths. */
  readonly host: DebianHost;
  /** The set's packages, as `fetchPackages` keeps them. */
  readonly repository: Artifact;
}

/**
 * The embedded base, made once for the same packages and layout.
 *
 * @throws CommandError with the last lines of mmdebstrap or of the layout script
 */
export function makeDebianBase(set: DebianPackageSet, layout: ReadonlyMap<string, string>, parts: BaseParts): Promise<Artifact> {
  return parts.store.make({
    kind: BASE_KIND,
    key: debianBaseKey(set, layout),
    inputs: { packages: packageSetKey(set), suite: set.suite, architecture: set.architecture, wanted: set.wanted },
    title: `${debian13.title} base, ${set.architecture}, ${set.packages.length} packages`,
    signal: parts.host.signal,
    build: (folder) => buildBase(folder, set, layout, parts),
  });
}

async function buildBase(
  folder: string,
  set: DebianPackageSet,
  layout: ReadonlyMap<string, string>,
  { host, repository }: BaseParts,
): Promise<BaseFacts> {
  const script = join(folder, 'layout');
  for (const [name, text] of layout) {
    const path = join(script, name);
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await writeFile(path, text, { mode: 0o644 });
  }
  const tar = join(folder, BASE_TAR);
  await buildRoot(
    {
      set,
      repository: repository.path,
      output: { format: 'tar', path: tar },
      sourceDateEpoch: RELEASED,
      dpkgOptions: DPKG_OPTIONS,
      sources: [],
      hooks: { customize: [LAYOUT_HOOK] },
      // The layout makes the initramfs, once and reproducibly; the kernel's own hook would make another.
      environment: { KVCI_LAYOUT: script, INITRD: 'No' },
      skip: SKIP,
    },
    host,
  );
  await removeTree(script);
  return digestFile(tar);
}
