import semver from 'semver';

import { KvciError } from '../core/errors.ts';

/** Where a Kubernetes source tree says which etcd, CoreDNS and pause belong to it. */
export const KUBEADM_CONSTANTS = 'cmd/kubeadm/app/constants/constants.go';

/** Image tags that kubeadm of one version asks for, as they stand there: `3.6.8-0`, `v1.14.2`, `3.10.2`. */
export interface ImageTags {
  readonly etcd: string;
  readonly coredns: string;
  readonly pause: string;
}

/**
 * Reads kubeadm's constants for the Kubernetes version that the file belongs to.
 *
 * @throws KvciError `kubeadm-constants` when one is not found: upstream moved it
 */
export function readKubeadmConstants(source: string, kubernetes: string): ImageTags {
  return {
    etcd: supportedEtcd(source).get(semver.minor(kubernetes)) ?? constant(source, 'DefaultEtcdVersion'),
    coredns: constant(source, 'CoreDNSVersion'),
    pause: constant(source, 'PauseVersion'),
  };
}

/** `SupportedEtcdVersion`: etcd by Kubernetes minor; it comes before the default in kubeadm's choice. */
function supportedEtcd(source: string): ReadonlyMap<number, string> {
  const body = /SupportedEtcdVersion\s*=\s*map\[uint8\]string\{([^}]*)\}/.exec(source)?.[1] ?? '';
  return new Map([...body.matchAll(/(\d+):\s*"([^"]+)"/g)].map(([, minor, version]) => [Number(minor), version ?? '']));
}

function constant(source: string, name: string): string {
  const value = new RegExp(`^\\s*${name}\\s*=\\s*"([^"]+)"`, 'm').exec(source)?.[1];
  if (value !== undefined) return value;
  throw new KvciError('failed', 'kubeadm-constants', `${KUBEADM_CONSTANTS} of this Kubernetes version has no ${name}`);
}

/** `3.6.8` of the tags `3.6.8-0` and `v3.6.8`: kubeadm's etcd tags carry a revision of the image. */
export function versionOfTag(tag: string): string {
  return tag.replace(/^v/, '').replace(/-\d+$/, '');
}

/** References of the control-plane images, by component. */
export interface ImageRefs {
  readonly 'kube-apiserver': string;
  readonly 'kube-controller-manager': string;
  readonly 'kube-scheduler': string;
  readonly 'kube-proxy': string;
  readonly coredns: string;
  readonly pause: string;
  readonly etcd: string;
}

export type ImageName = keyof ImageRefs;

/** As `kubeadm config images list` of that version prints them with default configuration. */
export function imageRefs(kubernetes: string, tags: ImageTags): ImageRefs {
  const repository = 'registry.k8s.io';
  return {
    'kube-apiserver': `${repository}/kube-apiserver:v${kubernetes}`,
    'kube-controller-manager': `${repository}/kube-controller-manager:v${kubernetes}`,
    'kube-scheduler': `${repository}/kube-scheduler:v${kubernetes}`,
    'kube-proxy': `${repository}/kube-proxy:v${kubernetes}`,
    coredns: `${repository}/coredns/coredns:${tags.coredns}`,
    pause: `${repository}/pause:${tags.pause}`,
    etcd: `${repository}/etcd:${tags.etcd}`,
  };
}
