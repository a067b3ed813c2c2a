import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Distribution } from '../distro/types.ts';
import type { Architecture, PackageRepository, PayloadSourceName, PayloadVersions } from '../payload/types.ts';
import { nodeFacts } from './rules.ts';
import { nodeUnits, type NodeUnits } from './units.ts';

/** What a node image is rendered from. No I/O behind it: the same request gives the same Containerfile and context. */
export interface NodeRequest {
  readonly distribution: Distribution;
  /** What FROM names: the imported base, or a published image by digest. */
  readonly from: string;
  /** The base is somebody's own image (`--base REF`). */
  readonly ownBase: boolean;
  readonly architecture: Architecture;
  readonly source: PayloadSourceName;
  readonly versions: PayloadVersions;
  /** Kubernetes packages and CRI-O where they come from signed repositories. */
  readonly repositories: readonly NamedRepository[];
  /** References of the preloaded images and their manifests' digests. */
  readonly images: readonly { readonly ref: string; readonly manifest: Digest }[];
  /** `--package`s. Where kvci builds the base they are in it already. */
  readonly packages: readonly string[];
  /** `--kernel`; undefined for the base's own. */
  readonly kernel: string | undefined;
  /** Absolute destinations of `--file`s, in order. */
  readonly extraFiles: readonly string[];
  /** True when documents (SBOM, provenance) come with the context. */
  readonly documents: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** True when the payload brings files of its own (all sources but `packages`). */
  readonly payloadFiles: boolean;
}

export interface NamedRepository extends PackageRepository {
  /** File stem: `kubernetes`, `cri-o`. */
  readonly name: string;
}

/** What the templates see: data only, nothing to compute. `test/golden` shows what becomes of it. */
export interface NodeView {
  readonly kubernetes: string;
  readonly distribution: { readonly id: string; readonly title: string };
  readonly from: string;
  readonly ownBase: boolean;
  readonly cri: { readonly unit: string; readonly socket: string };
  readonly containerd: { readonly version3: boolean; readonly cniDirectories: boolean };
  readonly kubelet: { readonly environmentFile: string };
  /** Reference of the pause image. */
  readonly pause: string;
  readonly images: readonly { readonly ref: string; readonly digest: Digest }[];
  readonly units: NodeUnits;
  /** Empty directories that have to be in the image. */
  readonly directories: readonly string[];
  /** Packages that the Containerfile installs. */
  readonly packages: readonly string[];
  readonly unwanted: readonly string[];
  readonly repositories: readonly NamedRepository[];
  readonly kernel: string;
  readonly kernelModules: readonly string[];
  readonly payloadFiles: boolean;
  readonly extraFiles: readonly { readonly copy: readonly [string, string] }[];
  readonly documents: boolean;
  /** What upstream's kind wants of a node is in it: kind knows containerd only. */
  readonly kind: boolean;
  readonly lint: boolean;
  /** The base has still to be laid out for image mode. */
  readonly layout: boolean;
  readonly labels: readonly { readonly name: string; readonly value: string }[];
}

const VOLUME_PLUGINS = '/usr/libexec/kubernetes/kubelet-plugins/volume/exec';

const RUNTIMES = {
  containerd: { unit: 'containerd.service', socket: '/run/containerd/containerd.sock' },
  'cri-o': { unit: 'crio.service', socket: '/var/run/crio/crio.sock' },
} as const;

/** @throws KvciError `versions-do-not-fit`, `bad-label` */
export function nodeView(request: NodeRequest): NodeView {
  const { distribution, versions } = request;
  const debian = distribution.family === 'debian';
  const containerd = distribution.cri === 'containerd' ? (versions.containerd ?? DEBIAN_CONTAINERD) : undefined;
  const facts = nodeFacts({ kubernetes: versions.kubernetes, containerd });
  return {
    kubernetes: versions.kubernetes,
    distribution: { id: distribution.id, title: distribution.title },
    from: request.from,
    ownBase: request.ownBase,
    cri: RUNTIMES[distribution.cri],
    containerd: { version3: facts.containerdConfig === 3, cniDirectories: facts.cniDirectories },
    kubelet: { environmentFile: debian ? '/etc/default/kubelet' : '/etc/sysconfig/kubelet' },
    pause: request.images.find(({ ref }) => /\/pause:[^/]+$/.test(ref))?.ref ?? `registry.k8s.io/pause:${versions.pause}`,
    images: request.images.map(({ ref, manifest }) => ({ ref, digest: manifest })),
    units: nodeUnits(distribution),
    directories: [
      ...(facts.volumePluginDirectory ? [VOLUME_PLUGINS] : []),
      ...(containerd === undefined ? [] : ['/etc/containerd/certs.d', '/etc/containerd/conf.d']),
    ],
    packages: packagesToInstall(request),
    unwanted: distribution.unwanted,
    repositories: request.repositories,
    kernel: request.kernel ?? '',
    kernelModules: distribution.kernelModules,
    payloadFiles: request.payloadFiles,
    extraFiles: request.extraFiles.map((destination, index) => ({ copy: [`files/${index}`, destination] as const })),
    documents: request.documents,
    kind: containerd !== undefined,
    lint: !debian,
    layout: debian && request.ownBase,
    labels: Object.entries(request.labels).map(([name, value]) => label(name, value)),
  };
}

/** containerd of Debian 13, which a payload without a containerd of its own relies on. */
const DEBIAN_CONTAINERD = '1.7.24';

/** Exact packages of a repository replace the distribution's of the same name. */
function packagesToInstall({ distribution, repositories, packages, ownBase, kernel, architecture }: NodeRequest): readonly string[] {
  if (distribution.image === undefined) return [];
  const exact = repositories.flatMap((repository) => repository.packages);
  const replaced = (name: string): boolean =>
    exact.some((word) => word === name || (word.startsWith(name) && /^[-=]\d/.test(word.slice(name.length))));
  const own = ownBase && distribution.family === 'debian' ? [kernel ?? distribution.kernel(architecture)] : [];
  return [...distribution.packages.filter((name) => !replaced(name)), ...own, ...exact, ...packages];
}

function label(name: string, value: string): { readonly name: string; readonly value: string } {
  if (/[\n\r\0]/.test(name + value)) {
    throw new KvciError('usage', 'bad-label', `label "${name}" has more than one line`, {
      hint: 'A Containerfile takes labels of one line.',
    });
  }
  return { name, value };
}
