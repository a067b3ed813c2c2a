import { stringify } from 'yaml';

import type { Digest } from '../core/digest.ts';
import type { Secret } from '../core/secrets.ts';
import type { IpFamily, NodeAddresses } from '../machine/types.ts';
import { addressList, hostPort, mainAddress, POD_RANGES, SERVICE_RANGES } from './addresses.ts';
import { JOIN_TOKEN_LIFE, KUBEADM_TIMEOUTS } from './deadlines.ts';
import type { NodeFacts } from './node-facts.ts';
import { PATCHES } from './patches.ts';
import { emulationArgs, ignoredChecks } from './rules.ts';

/*
 * Configuration of kubeadm, v1beta4: all versions from 1.31 on read it.
 * https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/
 */

export const API_PORT = 6443;

const KUBEADM = 'kubeadm.k8s.io/v1beta4';

/** Both start before the API server knows what they may do: refused once, they ask for their lease again this soon. */
const LEASE = { 'leader-elect-retry-period': '1s' };

/**
 * The controller manager makes an account and a token for each of its forty controllers before the first of them works; at its
 * default of 20 calls a second that alone takes five seconds.
 */
const CALLS = { 'kube-api-qps': '100', 'kube-api-burst': '200' };

/** kubeadm's own check of the kernel and of control groups cannot know that a container does without. */
const UNCHECKED_IN_CONTAINER = ['SystemVerification'];

export interface KubeadmNode {
  readonly name: string;
  readonly addresses: NodeAddresses;
  readonly facts: NodeFacts;
}

export interface KubeadmCluster {
  readonly name: string;
  /** Without a leading `v`. */
  readonly kubernetes: string;
  readonly families: readonly IpFamily[];
  /** Where nodes find the API, `HOST:PORT`: the first control plane, or what balances over all of them. */
  readonly endpoint: string;
  /** Names and addresses, beside kubeadm's own, by which the API server may be called. */
  readonly names: readonly string[];
  /** The controller manager gives each node its range of pods; false where they are given out already. */
  readonly allocateRanges: boolean;
}

export interface InitSecrets {
  readonly token: Secret;
  /** With it other control planes get the certificates; undefined where there are none. */
  readonly certificateKey?: Secret;
}

export interface JoinSecrets extends InitSecrets {
  readonly caHash: Digest;
}

/** What `kubeadm init` reads on the first control plane. */
export function initConfig(cluster: KubeadmCluster, node: KubeadmNode, secrets: InitSecrets): string {
  const { families } = cluster;
  const { emulated } = node.facts;
  return documents(
    {
      apiVersion: KUBEADM,
      kind: 'InitConfiguration',
      bootstrapTokens: [{ token: secrets.token.reveal(), ttl: JOIN_TOKEN_LIFE }],
      ...(secrets.certificateKey === undefined ? {} : { certificateKey: secrets.certificateKey.reveal() }),
      localAPIEndpoint: { advertiseAddress: mainAddress(node.addresses, families), bindPort: API_PORT },
      nodeRegistration: registration(node, cluster),
      patches: { directory: PATCHES },
      timeouts: KUBEADM_TIMEOUTS,
    },
    {
      apiVersion: KUBEADM,
      kind: 'ClusterConfiguration',
      clusterName: cluster.name,
      kubernetesVersion: `v${cluster.kubernetes}`,
      controlPlaneEndpoint: cluster.endpoint,
      networking: {
        podSubnet: families.map((family) => POD_RANGES[family]).join(),
        serviceSubnet: families.map((family) => SERVICE_RANGES[family]).join(),
      },
      // Keys of RSA take as long to make as all else that is done before the control plane starts, and each greeting by TLS longer.
      encryptionAlgorithm: 'ECDSA-P256',
      apiServer: { certSANs: cluster.names },
      controllerManager: {
        extraArgs: args({
          ...LEASE,
          ...CALLS,
          ...(cluster.allocateRanges ? {} : { 'allocate-node-cidrs': 'false' }),
          ...(emulated ? emulationArgs('controllerManager') : {}),
        }),
      },
      scheduler: { extraArgs: args({ ...LEASE, ...(emulated ? emulationArgs('scheduler') : {}) }) },
      // A single member elects itself, and would wait the longer for it.
      ...(emulated && secrets.certificateKey !== undefined ? { etcd: { local: { extraArgs: args(emulationArgs('etcd')) } } } : {}),
    },
    kubeProxyConfig(node.facts),
  );
}

/** What kubeadm's phases read that let more nodes join a control plane that stands. */
export function tokenConfig(secrets: InitSecrets, life: string): string {
  return documents({
    apiVersion: KUBEADM,
    kind: 'InitConfiguration',
    bootstrapTokens: [{ token: secrets.token.reveal(), ttl: life }],
    ...(secrets.certificateKey === undefined ? {} : { certificateKey: secrets.certificateKey.reveal() }),
  });
}

/** What `kubeadm join` reads; on a further control plane with its own address for the API. */
export function joinConfig(cluster: KubeadmCluster, node: KubeadmNode, role: 'control-plane' | 'worker', secrets: JoinSecrets): string {
  return documents({
    apiVersion: KUBEADM,
    kind: 'JoinConfiguration',
    discovery: {
      bootstrapToken: { token: secrets.token.reveal(), apiServerEndpoint: cluster.endpoint, caCertHashes: [secrets.caHash] },
    },
    nodeRegistration: registration(node, cluster),
    ...(role === 'worker'
      ? {}
      : {
          controlPlane: {
            localAPIEndpoint: { advertiseAddress: mainAddress(node.addresses, cluster.families), bindPort: API_PORT },
            ...(secrets.certificateKey === undefined ? {} : { certificateKey: secrets.certificateKey.reveal() }),
          },
          patches: { directory: PATCHES },
        }),
    timeouts: KUBEADM_TIMEOUTS,
  });
}

/** Where a single control plane is called by the nodes. */
export function controlPlaneEndpoint(addresses: NodeAddresses, families: readonly IpFamily[]): string {
  return hostPort(mainAddress(addresses, families), API_PORT);
}

function registration({ name, addresses, facts }: KubeadmNode, { kubernetes, families }: KubeadmCluster): object {
  const ignored = [...(facts.container ? UNCHECKED_IN_CONTAINER : []), ...ignoredChecks(kubernetes)];
  return {
    name,
    // All images are on the node.
    imagePullPolicy: 'Never',
    // Control planes take work, too.
    taints: [],
    kubeletExtraArgs: [{ name: 'node-ip', value: addressList(addresses, families).join() }],
    ...(ignored.length === 0 ? {} : { ignorePreflightErrors: ignored }),
  };
}

function kubeProxyConfig(facts: NodeFacts): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    // Settings of the kernel that a container may not make: zero leaves them as they are.
    ...(facts.container ? { conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' } } : {}),
  };
}

function args(flags: Readonly<Record<string, string>>): readonly object[] {
  return Object.entries(flags).map(([name, value]) => ({ name, value }));
}

function documents(...parts: readonly object[]): string {
  return parts.map((part) => stringify(part, { lineWidth: 0 })).join('---\n');
}
