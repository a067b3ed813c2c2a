import { stringify } from 'yaml';

import type { NodeAddresses } from '../../src/machine/types.ts';

/*
 * Configuration of kubeadm as somebody writes it by hand who knows what an emulated node with all images on it needs, and no more:
 * longer timeouts, images that are never pulled, kube-proxy by nftables.
 */

const API_VERSION = 'kubeadm.k8s.io/v1beta4';
const TIMEOUTS = {
  kubernetesAPICall: '5m0s',
  controlPlaneComponentHealthCheck: '10m0s',
  kubeletHealthCheck: '8m0s',
  tlsBootstrap: '10m0s',
  discovery: '10m0s',
};

export interface StraightNode {
  readonly name: string;
  readonly addresses: Required<NodeAddresses>;
}

/** @param kubernetes without `v` */
export function straightInit(kubernetes: string, node: StraightNode, token: string): string {
  return documents(
    {
      apiVersion: API_VERSION,
      kind: 'InitConfiguration',
      bootstrapTokens: [{ token, ttl: '2h0m0s' }],
      localAPIEndpoint: { advertiseAddress: node.addresses.ipv4 },
      nodeRegistration: registration(node),
      timeouts: TIMEOUTS,
    },
    {
      apiVersion: API_VERSION,
      kind: 'ClusterConfiguration',
      kubernetesVersion: `v${kubernetes}`,
      networking: { podSubnet: '10.244.0.0/16,fd10:244::/56', serviceSubnet: '10.96.0.0/12,fd10:96::/108' },
      apiServer: { certSANs: ['127.0.0.1'] },
    },
    { apiVersion: 'kubeproxy.config.k8s.io/v1alpha1', kind: 'KubeProxyConfiguration', mode: 'nftables' },
  );
}

export function straightJoin(endpoint: string, node: StraightNode, token: string, caHash: string): string {
  return documents({
    apiVersion: API_VERSION,
    kind: 'JoinConfiguration',
    discovery: { bootstrapToken: { token, apiServerEndpoint: endpoint, caCertHashes: [caHash] } },
    nodeRegistration: registration(node),
    timeouts: TIMEOUTS,
  });
}

function registration({ name, addresses }: StraightNode): object {
  const nodeIp = `${addresses.ipv4},${addresses.ipv6}`;
  // Of Kubernetes 1.31: its check writes an IPv6 range without brackets into a URL.
  const ignorePreflightErrors = ['HTTPProxyCIDR'];
  return { name, imagePullPolicy: 'Never', taints: [], kubeletExtraArgs: [{ name: 'node-ip', value: nodeIp }], ignorePreflightErrors };
}

function documents(...parts: readonly object[]): string {
  return parts.map((part) => stringify(part, { lineWidth: 0 })).join('---\n');
}
