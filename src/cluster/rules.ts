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

/** The checks that `kubeadm init` and `join` of a version leave out. */
export function ignoredChecks(kubernetes: string, rules = KUBEADM_RULES): readonly string[] {
  return rules.filter((rule) => inRange(kubernetes, rule.kubernetes)).flatMap((rule) => rule.ignoredChecks);
}

/** Whether kubeadm takes a patch of CoreDNS' Deployment; an older one refuses a file of that name. */
export function patchesCoreDns(kubernetes: string): boolean {
  return inRange(kubernetes, '>=1.32.0-0');
}
