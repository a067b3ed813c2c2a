import { inRange } from '../core/versions.ts';

/** What differs between Kubernetes versions when a cluster is brought up. */
export interface KubeadmRule {
  /** Semver range of Kubernetes. */
  readonly kubernetes: string;
  /** Checks of kubeadm that are wrong in these versions. */
  readonly ignoredChecks: readonly string[];
  readonly because: string;
}

/** The only place where bringing up a cluster depends on versions. */
export const KUBEADM_RULES: readonly KubeadmRule[] = [
  {
    kubernetes: '>=1.31.0-0 <1.31.14',
    ignoredChecks: ['HTTPProxyCIDR'],
    because: 'it writes an IPv6 range without brackets into a URL, which Go 1.26 and newer refuse to read',
  },
];

/** Arguments of a component of the control plane where its node is emulated. */
export interface EmulationRule {
  readonly component: 'controllerManager' | 'scheduler' | 'etcd';
  readonly args: Readonly<Record<string, string>>;
  readonly because: string;
}

const PATIENT_LEADER = { 'leader-elect-lease-duration': '60s', 'leader-elect-renew-deadline': '45s', 'leader-elect-retry-period': '5s' };

/** The only place where bringing up a cluster depends on how fast its nodes are. */
export const EMULATION_RULES: readonly EmulationRule[] = [
  {
    component: 'controllerManager',
    args: PATIENT_LEADER,
    because: 'it exits when the API server takes more than 10 s to renew its lease, which it does while the first pods start',
  },
  { component: 'scheduler', args: PATIENT_LEADER, because: 'as the controller manager' },
  {
    component: 'controllerManager',
    args: { 'node-monitor-grace-period': '3m0s' },
    because: 'a kubelet whose processors are taken by a boot beside it has not died: its pods would be moved for nothing',
  },
  {
    component: 'etcd',
    args: { 'heartbeat-interval': '1000', 'election-timeout': '10000' },
    because: 'members answer late where their processors are shared: each election stops all writes',
  },
];

/** Arguments of a component where its node is emulated. */
export function emulationArgs(component: EmulationRule['component'], rules = EMULATION_RULES): Readonly<Record<string, string>> {
  return Object.assign({}, ...rules.filter((rule) => rule.component === component).map((rule) => rule.args)) as Record<string, string>;
}

/** The checks that `kubeadm init` and `join` of a version leave out. */
export function ignoredChecks(kubernetes: string, rules = KUBEADM_RULES): readonly string[] {
  return rules.filter((rule) => inRange(kubernetes, rule.kubernetes)).flatMap((rule) => rule.ignoredChecks);
}

/** Whether kubeadm takes a patch of CoreDNS' Deployment; an older one refuses a file of that name. */
export function patchesCoreDns(kubernetes: string): boolean {
  return inRange(kubernetes, '>=1.32.0-0');
}

/** Whether kubeadm lets the scheduler be asked whether it is ready: a patch of a check that is not there would make an invalid pod. */
export function asksScheduler(kubernetes: string): boolean {
  return inRange(kubernetes, '>=1.36.0-0');
}
