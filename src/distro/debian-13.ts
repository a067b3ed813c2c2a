import type { Distribution, NodeArchitecture } from './types.ts';

/** By concern, so that the reason for a package is where it stands. */
const PACKAGES = {
  system: 'systemd systemd-sysv systemd-resolved systemd-timesyncd libpam-systemd dbus udev kmod procps tzdata zstd',
  // dracut makes the initramfs; ostree-boot brings its dracut module and the units of a deployed root.
  imageMode: 'dracut ostree ostree-boot',
  access: 'openssh-server ca-certificates',
  // kubeadm's preflight, kube-proxy, kubelet's mounts and the port mappings of CNI plugins.
  kubernetes: 'containernetworking-plugins conntrack ethtool iproute2 iptables nftables runc socat mount util-linux',
  // Runs containers where a node that is one itself has no cgroup controllers.
  withoutCgroups: 'crun',
  storage: 'e2fsprogs fdisk nfs-common open-iscsi',
} as const;

export const debian13: Distribution = {
  id: 'debian-13',
  title: 'Debian 13 (trixie)',
  family: 'debian',
  cri: 'containerd',
  network: 'networkd',
  image: undefined,
  template: 'base/debian-13',
  defaultPayload: 'release',
  packages: Object.values(PACKAGES)
    .flatMap((words) => words.split(' '))
    .toSorted(),
  unwanted: [],
  kernel: (architecture: NodeArchitecture) => `linux-image-cloud-${architecture}`,
  kernelModules: [],
};
