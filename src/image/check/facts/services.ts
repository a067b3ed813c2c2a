import { enabledUnits, isEnabled, isMasked, UNIT_FILES, unitFile, unitLines, unitValues } from '../systemd.ts';
import type { Fact, Finding } from '../types.ts';
import { configLines, nameOf, type ImageView } from '../view.ts';

/** One of the units that an image may have for the purpose has to be enabled; none is asked for where the list is empty. */
function enabledFact(id: string, title: string, unitsOf: (image: ImageView) => readonly string[]): Fact {
  return {
    id,
    title,
    check(image) {
      const units = unitsOf(image);
      if (units.length === 0 || units.some((unit) => isEnabled(image, unit))) return [];
      const there = units.filter((unit) => unitFile(image, unit) !== undefined || isMasked(image, unit));
      if (there.length === 0) return [{ message: `there is no unit ${units.join(' or ')}` }];
      return there.map((unit) => ({
        message: isMasked(image, unit) ? 'the unit is masked' : 'the unit is not enabled',
        path: `/${unitFile(image, unit) ?? unit}`,
      }));
    },
  };
}

/** Images of rpm bases use NetworkManager, which resolves names itself. */
function usesNetworkd(image: ImageView): boolean {
  return !isEnabled(image, 'NetworkManager.service');
}

/** Brings the image's control-plane images into the container runtime where they are missing. */
const imageImport: Fact = {
  id: 'image-import-enabled',
  title: 'a unit imports the control-plane images of the image where they are missing',
  check: (image) =>
    [...enabledUnits(image)].some((unit) => /^kvci-.*images?.*\.(service|path)$/.test(unit) && isEnabled(image, unit))
      ? []
      : [{ message: 'no unit kvci-*image*.service is enabled', path: '/usr/lib/systemd/system' }],
};

const swap: Fact = {
  id: 'swap',
  title: 'no swap: neither a unit, nor in fstab, nor a zram generator',
  reads: [/^etc\/fstab$/],
  *check(image) {
    for (const folder of ['etc/systemd/system', 'usr/etc/systemd/system', 'usr/lib/systemd/system']) {
      for (const path of image.children(folder)) if (path.endsWith('.swap')) yield { message: 'is a swap unit', path: `/${path}` };
    }
    const fstab = image.etc('fstab');
    if (configLines(image.text(fstab)).some((line) => line.split(/\s+/)[2] === 'swap'))
      yield { message: 'names a swap area', path: `/${fstab}` };
    for (const path of [
      image.etc('systemd/zram-generator.conf'),
      'usr/lib/systemd/zram-generator.conf',
      'usr/lib/systemd/system-generators/zram-generator',
    ]) {
      if ((image.target(path)?.size ?? 0) > 0) yield { message: 'makes swap in memory', path: `/${path}` };
    }
  },
};

/** They load their own rule set and drop the rules of kube-proxy and the CNI with it. */
const FIREWALL_UNITS = [
  'firewalld.service',
  'ufw.service',
  'nftables.service',
  'iptables.service',
  'ip6tables.service',
  'netfilter-persistent.service',
] as const;

const firewall: Fact = {
  id: 'firewall',
  title: 'no firewall that replaces the rules of the cluster network',
  *check(image) {
    for (const unit of FIREWALL_UNITS)
      if (isEnabled(image, unit)) yield { message: `${unit} is enabled`, path: `/${unitFile(image, unit) ?? unit}` };
    for (const path of ['usr/sbin/firewalld', 'usr/bin/firewalld'])
      if (image.entry(path)?.type === 'file') yield { message: 'firewalld is installed', path: `/${path}` };
  },
};

const NETWORKD_FILES = /^(etc|usr\/lib)\/systemd\/network\/.*\.(network|conf)$/;
const NETWORK_MANAGER_FILES = /^(etc|usr\/lib|usr\/share)\/NetworkManager\/(system-connections\/.*|NetworkManager\.conf|conf\.d\/.*)$/;

/** image-mode.md: one family is enough for networkd unless it is told otherwise; NetworkManager must be told `may-fail`. */
const network: Fact = {
  id: 'network-profile',
  title: 'the network comes up with IPv4 only, IPv6 only or both, without waiting on what is missing',
  reads: [NETWORKD_FILES, NETWORK_MANAGER_FILES],
  check: (image) => (usesNetworkd(image) ? networkdFindings(image) : networkManagerFindings(image)),
};

function networkdFindings(image: ImageView): Finding[] {
  const profiles = image.dropIns('systemd/network', '.network').map((path) => ({ path, lines: configLines(image.text(path)) }));
  const ethernet = profiles.filter(
    ({ lines }) => isForEthernet(lines) && unitValues(lines, 'DHCP').some((value) => ['yes', 'true', '1'].includes(value)),
  );
  if (ethernet.length === 0) return [{ message: 'no profile of Ethernet links has DHCP=yes', path: '/usr/lib/systemd/network' }];
  return ethernet.flatMap(({ path, lines }) => {
    const found: Finding[] = [];
    if (unitValues(lines, 'RequiredFamilyForOnline').some((value) => value !== 'any'))
      found.push({ message: 'waits for one family', path: `/${path}` });
    if (unitValues(lines, 'IPv6AcceptRA').some((value) => ['no', 'false', '0'].includes(value)))
      found.push({ message: 'refuses router advertisements', path: `/${path}` });
    return found;
  });
}

/** systemd brings profiles of its own for containers and virtual links. */
function isForEthernet(lines: readonly string[]): boolean {
  if (unitValues(lines, 'Virtualization').length > 0) return false;
  return (
    unitValues(lines, 'Type').includes('ether') ||
    unitValues(lines, 'Name').some((names) => names.split(/\s+/).some((name) => /^(en|eth)/.test(name)))
  );
}

function networkManagerFindings(image: ImageView): Finding[] {
  const folders = [
    'usr/lib/NetworkManager/system-connections',
    'usr/share/NetworkManager/system-connections',
    image.etc('NetworkManager/system-connections'),
  ];
  const files = folders.flatMap((folder) => image.children(folder)).filter((path) => path.endsWith('.nmconnection'));
  if (files.length === 0) return [{ message: 'there is no connection profile', path: '/usr/lib/NetworkManager/system-connections' }];
  return files.flatMap((path) => {
    const lines = configLines(image.text(path)).map((line) => line.replace(/\s/g, ''));
    const found: Finding[] = [];
    if (lines.includes('may-fail=false')) found.push({ message: 'waits for one family', path: `/${path}` });
    if (lines.filter((line) => line === 'method=auto').length < 2)
      found.push({ message: 'does not take both families (method=auto)', path: `/${path}` });
    if (((image.entry(path)?.mode ?? 0) & 0o077) !== 0)
      found.push({ message: 'NetworkManager ignores it unless its mode is 0600', path: `/${path}` });
    return found;
  });
}

const MODULE_FILES = /^(etc|usr\/lib)\/modules-load\.d\/[^/]+\.conf$/;
export const NEEDED_MODULES = ['overlay', 'br_netfilter'] as const;

const modulesLoad: Fact = {
  id: 'modules-load',
  title: 'the kernel modules of a cluster network are loaded at boot',
  reads: [MODULE_FILES],
  check(image) {
    const loaded = new Set(image.dropIns('modules-load.d', '.conf').flatMap((path) => configLines(image.text(path))));
    return NEEDED_MODULES.filter((name) => !loaded.has(name)).map((name) => ({
      message: `${name} is not loaded`,
      path: '/usr/lib/modules-load.d',
    }));
  },
};

const SYSCTL_FILES = /^(etc|usr\/lib)\/sysctl\.d\/[^/]+\.conf$/;
export const NEEDED_SYSCTLS = {
  'net.ipv4.ip_forward': '1',
  'net.ipv6.conf.all.forwarding': '1',
  'net.bridge.bridge-nf-call-iptables': '1',
  'net.bridge.bridge-nf-call-ip6tables': '1',
} as const;

const sysctls: Fact = {
  id: 'sysctls',
  title: 'packets of both families are forwarded and bridged traffic is filtered',
  reads: [SYSCTL_FILES],
  check(image) {
    const values = new Map<string, string>();
    for (const path of image.dropIns('sysctl.d', '.conf')) {
      for (const line of configLines(image.text(path))) {
        const [, key, value] = /^-?([^=\s]+)\s*=\s*(.*)$/.exec(line) ?? [];
        if (key !== undefined && value !== undefined) values.set(key.includes('.') ? key : key.replaceAll('/', '.'), value.trim());
      }
    }
    return Object.entries(NEEDED_SYSCTLS)
      .filter(([key, value]) => values.get(key) !== value)
      .map(([key, value]) => ({ message: `${key} is ${values.get(key) ?? 'not set'}, not ${value}`, path: '/usr/lib/sysctl.d' }));
  },
};

const KUBELET_UNIT = 'usr/lib/systemd/system/kubelet.service';

const kubeletUnit: Fact = {
  id: 'kubelet-unit',
  title: 'the kubelet unit lies under /usr/lib/systemd/system and takes what kubeadm writes',
  reads: [UNIT_FILES],
  *check(image) {
    if (image.target(KUBELET_UNIT)?.type !== 'file') {
      yield { message: 'is missing', path: `/${KUBELET_UNIT}` };
      return;
    }
    const lines = unitLines(image, 'kubelet.service');
    const start = unitValues(lines, 'ExecStart').join(' ');
    const environment = unitValues(lines, 'Environment').join(' ');
    const files = unitValues(lines, 'EnvironmentFile').join(' ');
    if (!start.includes('$KUBELET_KUBEADM_ARGS') || !files.includes('/var/lib/kubelet/kubeadm-flags.env'))
      yield { message: "does not pass kubeadm's flags (KUBELET_KUBEADM_ARGS)", path: `/${KUBELET_UNIT}` };
    if (!`${start} ${environment}`.includes('--config=/var/lib/kubelet/config.yaml'))
      yield { message: 'does not read /var/lib/kubelet/config.yaml', path: `/${KUBELET_UNIT}` };
  },
};

const kubeletWaits: Fact = {
  id: 'kubelet-waits',
  title: 'the kubelet waits for its configuration instead of failing',
  reads: [UNIT_FILES],
  check(image) {
    if (unitFile(image, 'kubelet.service') === undefined) return [];
    const lines = unitLines(image, 'kubelet.service');
    const conditions = ['ConditionPathExists', 'ConditionPathExistsGlob', 'ConditionFileNotEmpty', 'ExecCondition'].flatMap((key) =>
      unitValues(lines, key),
    );
    const waits = conditions.some((value) => value.includes('kubelet')) || isEnabled(image, 'kubelet.path');
    return waits ? [] : [{ message: 'starts without /var/lib/kubelet/config.yaml', path: `/${KUBELET_UNIT}` }];
  },
};

export function usesCrio(image: ImageView): boolean {
  return [...['usr/bin', 'usr/sbin', 'usr/local/bin'].flatMap((folder) => image.children(folder))].some((path) => nameOf(path) === 'crio');
}

export const SERVICE_FACTS: readonly Fact[] = [
  enabledFact('kubelet-enabled', 'the kubelet starts at boot', () => ['kubelet.service', 'kubelet.path']),
  enabledFact('runtime-enabled', 'the container runtime starts at boot', (image) => [
    usesCrio(image) ? 'crio.service' : 'containerd.service',
  ]),
  enabledFact('ssh-enabled', 'SSH starts at boot', () => ['ssh.service', 'sshd.service', 'ssh.socket', 'sshd.socket']),
  enabledFact('network-enabled', 'the network starts at boot', () => ['systemd-networkd.service', 'NetworkManager.service']),
  enabledFact('resolved-enabled', 'names are resolved', (image) => (usesNetworkd(image) ? ['systemd-resolved.service'] : [])),
  imageImport,
  kubeletUnit,
  kubeletWaits,
  network,
  modulesLoad,
  sysctls,
  swap,
  firewall,
];
