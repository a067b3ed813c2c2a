import type { Digest } from '../core/digest.ts';
import type { RunContext } from '../core/plan.ts';
import type { VersionRequest } from '../core/versions.ts';

export const PAYLOAD_SOURCES = ['packages', 'release', 'modules', 'dir'] as const;
export type PayloadSourceName = (typeof PAYLOAD_SOURCES)[number];

/** `amd64`, `arm64`: as Go, Debian and OCI name them. */
export type Architecture = 'amd64' | 'arm64';

/** Exact versions of what belongs to one Kubernetes version; without a leading `v`. */
export interface PayloadVersions {
  readonly kubernetes: string;
  readonly etcd: string;
  readonly coredns: string;
  readonly pause: string;
  readonly containerd?: string;
}

/**
 * The inputs of a payload, as `kvci.lock` keeps them: enough to make the same payload again, with a digest for everything that
 * is downloaded. Made by `resolve`, never changed afterwards.
 */
export interface PayloadLock {
  readonly source: PayloadSourceName;
  readonly versions: PayloadVersions;
  /** When Kubernetes of this version was released, ISO 8601: the time of everything that is made from it. */
  readonly created: string;
  /** The newest patch that exists where that is not `versions.kubernetes`. */
  readonly newerExists?: string;
  /** What the source needs besides; plain JSON whose schema is the source's own. */
  readonly inputs: unknown;
}

/** A file for the node: an executable, a unit, a manifest. */
export interface PayloadFile {
  /** Absolute path in the node image. */
  readonly path: string;
  /** Where it lies on the host. */
  readonly source: string;
  readonly mode: number;
  readonly digest: Digest;
  readonly size: number;
}

export interface PayloadImage {
  /** As kubeadm asks for it: `registry.k8s.io/kube-apiserver:v1.31.0`. */
  readonly ref: string;
  readonly manifest: Digest;
}

/** Made of any source: what the node image is assembled from. */
export interface Payload {
  readonly source: PayloadSourceName;
  readonly versions: PayloadVersions;
  readonly created: string;
  readonly architecture: Architecture;
  readonly files: readonly PayloadFile[];
  readonly images: readonly PayloadImage[];
  /** An OCI layout on the host that holds `images`, their shared layers once; absent when the Containerfile pulls from packages and no images are preloaded. */
  readonly layout: string | undefined;
  /** Packages that the Containerfile installs from a signed repository (source `packages` only). */
  readonly repository: PackageRepository | undefined;
  /** CRI-O's signed repository, for distributions that run it. */
  readonly runtimeRepository?: PackageRepository;
  /** Go modules and other origins for SBOM and provenance: `pkg:golang/...` and `pkg:generic/...` URLs with digests where known. */
  readonly components: readonly PayloadComponent[];
}

export interface PayloadComponent {
  readonly purl: string;
  readonly name: string;
  readonly version: string;
  readonly digest?: Digest;
}

export interface PackageRepository {
  readonly baseUrl: string;
  /** ASCII-armoured public key. */
  readonly key: string;
  /** Exact `name=version` (apt) or `name-version` (dnf) words. */
  readonly packages: readonly string[];
}

export interface PayloadSource {
  readonly name: PayloadSourceName;
  /** For `auto`: can this source serve on this host now? `reason` is shown either way. */
  probe(): Promise<{ readonly usable: boolean; readonly reason: string }>;
  /**
   * Chooses exact versions and digests. Asks the network.
   *
   * @throws KvciError `version-not-served` (the hint lists what is served)
   */
  resolve(request: VersionRequest, architecture: Architecture, run: RunContext): Promise<PayloadLock>;
  /** The digest of everything that goes into the payload. */
  key(lock: PayloadLock, architecture: Architecture): Digest;
  /** Steps to make it are reported as events; what is there already is reused. */
  make(lock: PayloadLock, architecture: Architecture, run: RunContext): Promise<Payload>;
  /** The payload if all of it is there already; changes nothing. */
  find(lock: PayloadLock, architecture: Architecture): Promise<Payload | undefined>;
}
