import semver from 'semver';
import { stringify } from 'yaml';

import type { NodeRole } from './spec.ts';

export interface KindRequest {
  /** What the engine calls the node image. */
  readonly image: string;
  /** Its Kubernetes, without a leading `v`. */
  readonly kubernetes: string;
  readonly nodes: number;
  readonly controlPlanes: number;
  readonly ipFamily: 'dual' | 'ipv4' | 'ipv6';
}

/** From here on kind 0.33 writes kubeadm's v1beta4, which has timeouts; before that v1beta3, which has one. */
const WITH_TIMEOUTS = '>=1.36.0-0';

/**
 * Configuration for `kind create cluster --config`, as upstream's kind 0.33 reads it, that fits kvci's node images: kube-proxy's
 * image has nftables only, nothing is ever pulled, and a container sets nothing of the host's kernel. What a host without control
 * group controllers takes, the image's entrypoint sees to.
 *
 * Source of the format: https://kind.sigs.k8s.io/docs/user/configuration/
 */
export function kindConfig({ image, kubernetes, nodes, controlPlanes, ipFamily }: KindRequest): string {
  const registration = { nodeRegistration: { imagePullPolicy: 'Never' } };
  const timeouts = semver.satisfies(kubernetes, WITH_TIMEOUTS)
    ? { timeouts: { kubernetesAPICall: '5m0s', controlPlaneComponentHealthCheck: '10m0s', kubeletHealthCheck: '8m0s' } }
    : {};
  const patches = [
    { kind: 'InitConfiguration', ...registration, ...timeouts },
    { kind: 'JoinConfiguration', ...registration, ...timeouts },
    ...('timeouts' in timeouts ? [] : [{ kind: 'ClusterConfiguration', apiServer: { timeoutForControlPlane: '10m0s' } }]),
    {
      kind: 'KubeProxyConfiguration',
      conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    },
  ];
  const roles = Array.from({ length: nodes }, (_, at): NodeRole => (at < controlPlanes ? 'control-plane' : 'worker'));
  return stringify({
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    networking: { ipFamily, kubeProxyMode: 'nftables' },
    nodes: roles.map((role) => ({ role, image })),
    kubeadmConfigPatches: patches.map((patch) => stringify(patch)),
  });
}
