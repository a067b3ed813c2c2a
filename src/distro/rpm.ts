import type { Distribution } from './types.ts';

/** What the rpm distributions share: a published bootc image to start from, CRI-O, NetworkManager, packages by dnf. */
export const RPM = {
  family: 'rpm',
  cri: 'cri-o',
  network: 'network-manager',
  defaultPayload: 'packages',
  packages: [
    'conntrack-tools',
    'cri-o',
    // CRI-O brings one under a name of its own; pods without control groups run by the distribution's.
    'crun',
    'ethtool',
    'iproute-tc',
    'iptables-nft',
    'iscsi-initiator-utils',
    'nfs-utils',
    'nftables',
    'openssh-server',
    'skopeo',
    'socat',
  ],
  // firewalld flushes what kube-proxy and CNI plugins wrote; the zram generator makes swap, which kubelet refuses.
  unwanted: ['firewalld', 'zram-generator', 'zram-generator-defaults'],
  kernel: () => 'kernel-core',
  kernelModules: [],
} as const satisfies Partial<Distribution>;
