import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import { isStable, minorOf, newestFirst, OLDEST_MINOR, type VersionRequest } from '../core/versions.ts';
import type { Artifact } from '../host/types.ts';
import { lockCrio } from './packages-crio.ts';
import { type LockedPackage, lockedRepositorySchema, repositoryComponents, repositoryOf } from './packages-lock.ts';
import { type ListedPackage, newestPackages, type PackageFormat, upstreamVersion } from './packages-repository.ts';
import { KEY_FILES, readRepository } from './packages-signed.ts';
import { findImages, imageComponent, imagesKey, imagesOf, imagesStep, lockImages } from './release-images.ts';
import { versionsOf } from './release-kubeadm.ts';
import { lockedImageSchema, readInputs } from './release-lock.ts';
import { kubeadmOf, type ReleaseParts } from './release-source.ts';
import { marker, notServed } from './release-versions.ts';
import type { Architecture, Payload, PayloadLock, PayloadSource } from './types.ts';

export type PackagesParts = Omit<ReleaseParts, 'containerd'> & {
  /** Of the distribution's packages. */
  readonly format: PackageFormat;
};

const inputsSchema = z.strictObject({
  kubernetes: lockedRepositorySchema,
  /** CRI-O, on rpm distributions. */
  runtime: lockedRepositorySchema.optional(),
  images: z.array(lockedImageSchema),
});
type PackagesInputs = z.output<typeof inputsSchema>;

const OF_KUBERNETES = ['kubelet', 'kubeadm', 'kubectl'] as const;
/** They come with Kubernetes' repository at versions of their own; the newest that it has is the one it was made with. */
const BESIDE = ['cri-tools', 'kubernetes-cni'] as const;

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
    const runtime = format === 'rpm' ? await lockCrio(version, architecture, this.#parts, run.signal) : undefined;
    const { key, fingerprints } = repository;
    const inputs: PackagesInputs = {
      kubernetes: { format, server: 'packages', path, key, fingerprints: [...fingerprints], packages },
      ...(runtime === undefined ? {} : { runtime }),
      images,
    };
    return {
      source: 'packages',
      versions: versionsOf(kubeadm),
      created: kubeadm.buildDate,
      ...(newer === undefined ? {} : { newerExists: newer }),
      inputs,
    };
  }

  key(lock: PayloadLock): Digest {
    const { images, ...repositories } = inputsOf(lock);
    return digestOf({ version: 1, repositories, images: imagesKey(images) });
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
    const { servers } = this.#parts;
    const repositories = [inputs.kubernetes, ...(inputs.runtime === undefined ? [] : [inputs.runtime])];
    return {
      source: 'packages',
      versions: lock.versions,
      created: lock.created,
      architecture,
      files: [],
      ...imagesOf(images),
      repository: repositoryOf(inputs.kubernetes, servers),
      ...(inputs.runtime === undefined ? {} : { runtimeRepository: repositoryOf(inputs.runtime, servers) }),
      components: [...repositories.flatMap((one) => repositoryComponents(one, architecture)), ...inputs.images.map(imageComponent)],
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

interface ChosenPackages {
  readonly version: string;
  readonly newer: string | undefined;
  readonly packages: LockedPackage[];
}

/** Exact packages for a request. @throws KvciError `version-not-served`, `package-missing` */
export function choosePackages(request: VersionRequest, listed: readonly ListedPackage[], url: string): ChosenPackages {
  const kubelets = newestPackages(listed.filter(({ name }) => name === 'kubelet'));
  const versions = newestFirst(kubelets.map(upstreamVersion));
  const newest = versions.find(isStable) ?? versions[0];
  const version = request.kind === 'exact' ? request.version : newest;
  if (version === undefined || !versions.includes(version)) throw notServed(request, url, versions);
  const pick = (name: string, fits: (one: ListedPackage) => boolean): LockedPackage => {
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
