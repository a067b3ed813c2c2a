import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import { isStable, minorOf, newestFirst, OLDEST_MINOR, type VersionRequest } from '../core/versions.ts';
import type { Artifact, Downloads } from '../host/types.ts';
import { aptPackages } from './packages-apt.ts';
import { type ListedPackage, newestPackages, PACKAGE_FORMATS, type PackageFormat, upstreamVersion } from './packages-repository.ts';
import { rpmPackages } from './packages-rpm.ts';
import { fingerprints } from './packages-signature.ts';
import { findImages, imageComponent, imagesKey, imagesOf, imagesStep, lockImages } from './release-images.ts';
import { versionsOf } from './release-kubeadm.ts';
import { digestSchema, lockedImageSchema, readInputs } from './release-lock.ts';
import { kubeadmOf, type ReleaseParts } from './release-source.ts';
import { marker, notServed, orUndefined } from './release-versions.ts';
import type { Architecture, PackageRepository, Payload, PayloadComponent, PayloadLock, PayloadSource } from './types.ts';

export type PackagesParts = Omit<ReleaseParts, 'containerd'> & {
  /** Of the distribution's packages. */
  readonly format: PackageFormat;
};

const inputsSchema = z.strictObject({
  format: z.enum(PACKAGE_FORMATS),
  /** Below the package server. */
  path: z.string().startsWith('/').endsWith('/'),
  /** The repository's public key, and who it is. */
  key: z.string(),
  fingerprints: z.array(z.string()),
  packages: z.array(z.strictObject({ name: z.string(), version: z.string(), sha256: digestSchema })),
  images: z.array(lockedImageSchema),
});
type PackagesInputs = z.output<typeof inputsSchema>;

const OF_KUBERNETES = ['kubelet', 'kubeadm', 'kubectl'] as const;
/** They come with Kubernetes' repository at versions of their own; the newest that it has is the one it was made with. */
const BESIDE = ['cri-tools', 'kubernetes-cni'] as const;

const RPM_ARCHITECTURES: Readonly<Record<Architecture, string>> = { amd64: 'x86_64', arm64: 'aarch64' };

/** Kubernetes as packages of the distribution, from upstream's signed repositories; the Containerfile installs them. */
export function packagesSource(parts: PackagesParts): PayloadSource {
  return new PackagesSource(parts);
}

class PackagesSource implements PayloadSource {
  readonly name = 'packages';
  readonly #parts: PackagesParts;

  constructor(parts: PackagesParts) {
    this.#parts = parts;
  }

  async probe(): Promise<{ readonly usable: boolean; readonly reason: string }> {
    const { downloads, servers, format } = this.#parts;
    const usable = await downloads.answers(`${servers.packages}${keyPath(OLDEST_MINOR, format)}`);
    return { usable, reason: `${servers.packages} ${usable ? 'answers' : 'does not answer'}` };
  }

  async resolve(request: VersionRequest, architecture: Architecture, run: RunContext): Promise<PayloadLock> {
    const { downloads, servers, format } = this.#parts;
    const minor = await this.#minor(request, run.signal);
    const path = repositoryPath(minor, format);
    const repository = await readRepository(downloads, `${servers.packages}${path}`, format, architecture, run.signal);
    if (repository === undefined) throw notServed(request, servers.packages, await this.#servedMinors(minor));
    const { version, newer, packages } = choosePackages(request, repository.packages, `${servers.packages}${path}`);
    const kubeadm = await kubeadmOf(version, this.#parts, run.signal);
    const images = await lockImages(kubeadm.images, architecture, this.#parts, run.signal);
    const inputs: PackagesInputs = { format, path, key: repository.key, fingerprints: [...repository.fingerprints], packages, images };
    return {
      source: 'packages',
      versions: versionsOf(kubeadm),
      created: kubeadm.buildDate,
      ...(newer === undefined ? {} : { newerExists: newer }),
      inputs,
    };
  }

  key(lock: PayloadLock): Digest {
    const { images, ...repository } = inputsOf(lock);
    return digestOf({ version: 1, repository, images: imagesKey(images) });
  }

  async make(lock: PayloadLock, architecture: Architecture, run: RunContext): Promise<Payload> {
    const inputs = inputsOf(lock);
    const images = await runStep(imagesStep(lock.versions.kubernetes, inputs.images, architecture, this.#parts), run);
    return this.#payload(lock, inputs, images, architecture);
  }

  async find(lock: PayloadLock, architecture: Architecture): Promise<Payload | undefined> {
    const inputs = inputsOf(lock);
    const images = await findImages(inputs.images, this.#parts.store);
    return images === undefined ? undefined : this.#payload(lock, inputs, images, architecture);
  }

  #payload(lock: PayloadLock, inputs: PackagesInputs, images: Artifact, architecture: Architecture): Payload {
    return {
      source: 'packages',
      versions: lock.versions,
      created: lock.created,
      architecture,
      files: [],
      ...imagesOf(images),
      repository: repositoryOf(inputs, this.#parts.servers.packages),
      components: [
        ...inputs.packages.map((one) => packageComponent(one, inputs.format, architecture)),
        ...inputs.images.map(imageComponent),
      ],
    };
  }

  /** Repositories are by minor; which is the newest, the release server says. */
  async #minor(request: VersionRequest, signal: AbortSignal): Promise<string> {
    if (request.kind === 'minor') return request.minor;
    if (request.kind === 'exact') return minorOf(request.version);
    const stable = await marker(this.#parts.downloads, this.#parts.servers.kubernetes, 'stable', signal);
    if (stable === undefined) throw notServed(request, this.#parts.servers.kubernetes, []);
    return minorOf(stable);
  }

  /** The minors around the one asked for that have a repository. */
  async #servedMinors(minor: string): Promise<readonly string[]> {
    const { downloads, servers, format } = this.#parts;
    const [major, first] = OLDEST_MINOR.split('.').map(Number) as [number, number];
    const last = Math.max(first, Math.min(Number(minor.split('.')[1]), first + MINORS_ASKED));
    const minors = Array.from({ length: last - first + 1 }, (_, index) => `${major}.${first + index}`);
    const answers = await Promise.all(minors.map((one) => downloads.answers(`${servers.packages}${keyPath(one, format)}`)));
    return minors.filter((_, index) => answers[index]);
  }
}

/** A bound for questions to a server about a minor far in the future. */
const MINORS_ASKED = 12;

function inputsOf(lock: PayloadLock): PackagesInputs {
  return readInputs(inputsSchema, lock, 'packages');
}

/** https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/ */
function repositoryPath(minor: string, format: PackageFormat): string {
  return `/core:/stable:/v${minor}/${format}/`;
}

function keyPath(minor: string, format: PackageFormat): string {
  return `${repositoryPath(minor, format)}${KEY_FILES[format]}`;
}

const KEY_FILES: Readonly<Record<PackageFormat, string>> = { deb: 'Release.key', rpm: 'repodata/repomd.xml.key' };

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

interface ChosenPackages {
  readonly version: string;
  readonly newer: string | undefined;
  readonly packages: PackagesInputs['packages'];
}

/** Exact packages for a request. @throws KvciError `version-not-served`, `package-missing` */
export function choosePackages(request: VersionRequest, listed: readonly ListedPackage[], url: string): ChosenPackages {
  const kubelets = newestPackages(listed.filter(({ name }) => name === 'kubelet'));
  const versions = newestFirst(kubelets.map(upstreamVersion));
  const newest = versions.find(isStable) ?? versions[0];
  const version = request.kind === 'exact' ? request.version : newest;
  if (version === undefined || !versions.includes(version)) throw notServed(request, url, versions);
  const pick = (name: string, fits: (one: ListedPackage) => boolean): PackagesInputs['packages'][number] => {
    const [found] = newestPackages(listed.filter((one) => one.name === name && fits(one)));
    if (found !== undefined) return { name, version: found.version, sha256: found.sha256 };
    throw new KvciError('notFoundOrExists', 'package-missing', `${url} has no package ${name} for Kubernetes ${version}`);
  };
  return {
    version,
    newer: newest === undefined || newest === version ? undefined : newest,
    packages: [
      ...OF_KUBERNETES.map((name) => pick(name, (one) => upstreamVersion(one) === version)),
      ...BESIDE.map((name) => pick(name, () => true)),
    ],
  };
}

function repositoryOf({ format, path, key, packages }: PackagesInputs, server: string): PackageRepository {
  const separator = format === 'deb' ? '=' : '-';
  return { baseUrl: `${server}${path}`, key, packages: packages.map(({ name, version }) => `${name}${separator}${version}`) };
}

function packageComponent(
  { name, version, sha256 }: PackagesInputs['packages'][number],
  format: PackageFormat,
  architecture: Architecture,
): PayloadComponent {
  const arch = format === 'deb' ? architecture : RPM_ARCHITECTURES[architecture];
  return { purl: `pkg:${format}/kubernetes/${name}@${encodeURIComponent(version)}?arch=${arch}`, name, version, digest: sha256 };
}
