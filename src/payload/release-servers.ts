import { KvciError } from '../core/errors.ts';
import type { Digest } from '../core/digest.ts';
import type { Architecture } from './types.ts';

/** Where upstream publishes; each can be a mirror that keeps upstream's paths. Without a trailing slash. */
export interface ReleaseServers {
  /** Kubernetes' binaries: https://kubernetes.io/releases/download/ */
  readonly kubernetes: string;
  /** Downloads of GitHub releases, below which `OWNER/REPO/releases/download/TAG/FILE` lies. */
  readonly downloads: string;
  /** GitHub's API, which lists releases: https://docs.github.com/en/rest/releases/releases */
  readonly api: string;
  /** Signed package repositories: https://kubernetes.io/blog/2023/08/15/pkgs-k8s-io-introduction/ */
  readonly packages: string;
  /** Signed rpm repositories of CRI-O: https://github.com/cri-o/packaging */
  readonly crio: string;
  /** The registry that stands for registry.k8s.io. */
  readonly registry: string;
}

const UPSTREAM_SERVERS: ReleaseServers = {
  kubernetes: 'https://dl.k8s.io',
  downloads: 'https://github.com',
  api: 'https://api.github.com',
  packages: 'https://pkgs.k8s.io',
  crio: 'https://download.opensuse.org/repositories',
  registry: 'registry.k8s.io',
};

/** Upstream's servers, but for those that a mirror stands in for. */
export function serversOf(mirrors: { readonly [name in keyof ReleaseServers]?: string | undefined }): ReleaseServers {
  const { kubernetes, downloads, api, packages, crio, registry } = UPSTREAM_SERVERS;
  const place = (mirror: string | undefined, upstream: string): string => (mirror ?? upstream).replace(/\/+$/, '');
  return {
    kubernetes: place(mirrors.kubernetes, kubernetes),
    downloads: place(mirrors.downloads, downloads),
    api: place(mirrors.api, api),
    packages: place(mirrors.packages, packages),
    crio: place(mirrors.crio, crio),
    registry: place(mirrors.registry, registry),
  };
}

/** A file of a release: how its URL is made, where its checksum is, and what of it goes into a node. */
export interface ReleaseComponent {
  readonly name: string;
  /** `OWNER/REPO` on GitHub; undefined for Kubernetes itself. */
  readonly repository: string | undefined;
  path(version: string, architecture: Architecture): string;
  checksum(version: string, architecture: Architecture): string;
  /** For an archive: the path in the node of an entry, undefined for what is left out. A single program: its path in the node. */
  readonly place: string | ((entry: string) => string | undefined);
}

function kubernetesProgram(name: string): ReleaseComponent {
  const path = (version: string, architecture: Architecture): string => `/release/v${version}/bin/linux/${architecture}/${name}`;
  return {
    name,
    repository: undefined,
    path,
    checksum: (version, architecture) => `${path(version, architecture)}.sha256`,
    place: `/usr/bin/${name}`,
  };
}

function githubRelease(
  name: string,
  repository: string,
  asset: (version: string, architecture: Architecture) => string,
  checksum: (asset: string) => string,
  place: ReleaseComponent['place'],
): ReleaseComponent {
  const folder = (version: string): string => `/${repository}/releases/download/v${version}`;
  return {
    name,
    repository,
    path: (version, architecture) => `${folder(version)}/${asset(version, architecture)}`,
    checksum: (version, architecture) => `${folder(version)}/${checksum(asset(version, architecture))}`,
    place,
  };
}

export const KUBERNETES_PROGRAMS: readonly ReleaseComponent[] = ['kubelet', 'kubeadm', 'kubectl'].map(kubernetesProgram);

const CONTAINERD_PROGRAMS = ['containerd', 'containerd-shim-runc-v2', 'ctr'];

/** The container runtime of distributions without packages of it that are new enough. */
export const CONTAINERD_PROGRAMS_OF_RELEASES: readonly ReleaseComponent[] = [
  githubRelease(
    'containerd',
    'containerd/containerd',
    (version, architecture) => `containerd-${version}-linux-${architecture}.tar.gz`,
    (asset) => `${asset}.sha256sum`,
    (entry) => (CONTAINERD_PROGRAMS.some((name) => entry === `bin/${name}`) ? `/usr/${entry}` : undefined),
  ),
  githubRelease(
    'runc',
    'opencontainers/runc',
    (_version, architecture) => `runc.${architecture}`,
    () => 'runc.sha256sum',
    '/usr/sbin/runc',
  ),
];

export const CNI_PLUGINS: ReleaseComponent = githubRelease(
  'cni-plugins',
  'containernetworking/plugins',
  (version, architecture) => `cni-plugins-linux-${architecture}-v${version}.tgz`,
  (asset) => `${asset}.sha256`,
  (entry) => (/^[a-z0-9-]+$/.test(entry) ? `/usr/lib/cni/${entry}` : undefined),
);

export const CRICTL: ReleaseComponent = githubRelease(
  'crictl',
  'kubernetes-sigs/cri-tools',
  (version, architecture) => `crictl-v${version}-linux-${architecture}.tar.gz`,
  (asset) => `${asset}.sha256`,
  (entry) => (entry === 'crictl' ? '/usr/bin/crictl' : undefined),
);

export const ALL_COMPONENTS: readonly ReleaseComponent[] = [
  ...KUBERNETES_PROGRAMS,
  ...CONTAINERD_PROGRAMS_OF_RELEASES,
  CNI_PLUGINS,
  CRICTL,
];

/**
 * The digest that a checksum file gives for a file: a lone digest (Kubernetes, cri-tools) or lines of `sha256sum`, of one file
 * or several.
 *
 * @throws KvciError `checksum-missing`
 */
export function readChecksum(text: string, file: string, url: string): Digest {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  for (const line of lines) {
    const [hex = '', name] = line.split(/\s+\*?/);
    if (/^[0-9a-f]{64}$/.test(hex) && (name === undefined || name.replace(/^.*\//, '') === file)) return `sha256:${hex}`;
  }
  throw new KvciError('failed', 'checksum-missing', `${url} holds no sha256 of ${file}`, {
    hint: 'The server answered with something that is no checksum file: see what it serves there.',
  });
}
