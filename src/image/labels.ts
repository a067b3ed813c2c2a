import type { Digest } from '../core/digest.ts';
import type { PayloadVersions } from '../payload/types.ts';

/** Labels of kvci's own. Versions are without a leading `v`. */
export const KVCI_LABELS = {
  kubernetes: 'io.kvci.kubernetes.version',
  etcd: 'io.kvci.etcd.version',
  coredns: 'io.kvci.coredns.version',
  pause: 'io.kvci.pause.version',
  containerd: 'io.kvci.containerd.version',
  payload: 'io.kvci.payload.source',
  base: 'io.kvci.base',
  inputs: 'io.kvci.inputs.digest',
} as const;

/** Bootc and its tools take an image for a bootable one by this label. */
export const BOOTC_LABEL = 'containers.bootc';

/** kvci's own sources. */
export const SOURCE_URL = 'https://github.com/kubevirt/kvci';

const KUBERNETES_URL = 'https://github.com/kubernetes/kubernetes';

export interface LabelInput {
  /** ISO 8601, from the lock and not from a clock: the same lock gives the same labels. */
  readonly created: string;
  readonly kvciVersion: string;
  readonly versions: PayloadVersions;
  readonly payloadSource: string;
  readonly base: { readonly id: string; readonly title: string; readonly name?: string; readonly digest?: Digest };
  /** Digest over all inputs of the image. */
  readonly inputs: Digest;
  /** `--label`s of the user; they win over kvci's own, but for `containers.bootc`. */
  readonly extra?: Readonly<Record<string, string>>;
}

/**
 * Labels of a node image, which serve as the annotations of its manifest as well; sorted by name.
 *
 * Version, source and revision are those of Kubernetes, which the image packages, and come from the lock. The commit of kvci is
 * no label: a checkout, a copy of it and the npm package give the same digest. It stands in the provenance beside the image.
 *
 * Keys: https://github.com/opencontainers/image-spec/blob/main/annotations.md
 */
export function imageLabels(input: LabelInput): Readonly<Record<string, string>> {
  const { versions, base } = input;
  const labels: Record<string, string | undefined> = {
    'org.opencontainers.image.created': input.created,
    'org.opencontainers.image.title': `Kubernetes ${versions.kubernetes} node on ${base.title}`,
    'org.opencontainers.image.description': `bootc node image of Kubernetes ${versions.kubernetes} with its control-plane images`,
    'org.opencontainers.image.version': versions.kubernetes,
    'org.opencontainers.image.url': SOURCE_URL,
    'org.opencontainers.image.source': KUBERNETES_URL,
    'org.opencontainers.image.revision': kubernetesRevision(versions.kubernetes),
    'org.opencontainers.image.vendor': 'kvci',
    'org.opencontainers.image.licenses': 'Apache-2.0',
    'org.opencontainers.image.base.name': base.name,
    'org.opencontainers.image.base.digest': base.digest,
    'io.kvci.version': input.kvciVersion,
    [KVCI_LABELS.kubernetes]: versions.kubernetes,
    [KVCI_LABELS.etcd]: versions.etcd,
    [KVCI_LABELS.coredns]: versions.coredns,
    [KVCI_LABELS.pause]: versions.pause,
    [KVCI_LABELS.containerd]: versions.containerd,
    [KVCI_LABELS.payload]: input.payloadSource,
    [KVCI_LABELS.base]: base.id,
    [KVCI_LABELS.inputs]: input.inputs,
    ...input.extra,
    [BOOTC_LABEL]: '1',
  };
  return Object.fromEntries(
    Object.entries(labels)
      .filter((label): label is [string, string] => label[1] !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** The tag of a release, or the commit that an own build carries in its version (`1.37.0-alpha.1.23+4f1c9d6c0a1b5e`). */
export function kubernetesRevision(version: string): string {
  return /\+([0-9a-f]{7,40})(?:-dirty)?$/.exec(version)?.[1] ?? `v${version}`;
}
