import type { Distribution } from '../distro/types.ts';

export interface NodeUnits {
  readonly enable: readonly string[];
  readonly disable: readonly string[];
  /** Units that may or may not be there and must not start. */
  readonly mask: readonly string[];
  /** All that the preset file decides. */
  readonly preset: readonly string[];
}

const COMMON = [
  'kubelet.service',
  'kvci-emulated.service',
  'kvci-grow-root.service',
  'kvci-images.service',
  'kvci-pod-network.service',
  'iscsid.socket',
] as const;

const FAMILIES = {
  debian: {
    enable: ['ssh.service', 'sshd-keygen.service', 'systemd-resolved.service', 'systemd-timesyncd.service'],
    // Nothing updates packages on a read-only /usr. open-iscsi and the NFS client's units wait for a network; kubelet's mounts need
    // neither, and rpcbind is for NFS 3 only.
    disable: [
      'apt-daily.timer',
      'apt-daily-upgrade.timer',
      'dpkg-db-backup.timer',
      'e2scrub_all.timer',
      'e2scrub_reap.service',
      'nfs-blkmap.service',
      'nfs-client.target',
      'open-iscsi.service',
      'rpcbind.service',
      'rpcbind.socket',
    ],
    mask: [],
  },
  rpm: {
    enable: ['sshd.service'],
    disable: [],
    // A node is upgraded when its cluster says so, not when a timer does.
    mask: ['bootc-fetch-apply-updates.timer', 'systemd-zram-setup@zram0.service'],
  },
} as const;

/** Enablement of the units of a node, one table for the preset file and the command that applies it. */
export function nodeUnits({ family, cri, network }: Distribution): NodeUnits {
  const { enable: ofFamily, disable, mask } = FAMILIES[family];
  const enable = [
    ...COMMON,
    ...ofFamily,
    cri === 'containerd' ? 'containerd.service' : 'crio.service',
    network === 'networkd' ? 'systemd-networkd.service' : 'NetworkManager.service',
  ].toSorted();
  return { enable, disable, mask, preset: [...enable, ...disable] };
}
