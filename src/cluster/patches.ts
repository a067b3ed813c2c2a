import { stringify } from 'yaml';

import type { NodeFile } from '../machine/types.ts';
import { HEALTH_CHECK_S } from './deadlines.ts';
import type { NodeFacts } from './node-facts.ts';
import { patchesCoreDns } from './rules.ts';

/*
 * Patches of what kubeadm writes: its own checks look at a container for the first time after ten seconds and then every ten, so
 * that a cluster which serves is told to be Ready some seconds later. How long a container may take stays what it was.
 * https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches
 */

/** Where kubeadm finds them on a control plane; they stay for whoever gives them to `kubeadm upgrade --patches`, which looks for none. */
export const PATCHES = '/etc/kubernetes/patches';

const STATIC_PODS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];

/** Seconds between two looks. */
const PERIOD_S = 1;

/** @param kubernetes without a leading `v` */
export function kubeadmPatches(kubernetes: string, { emulated }: Pick<NodeFacts, 'emulated'>): readonly NodeFile[] {
  // Looking every second would take a good part of an emulated node's processors.
  if (emulated) return [];
  const file = (target: string, patch: object): NodeFile => ({
    path: `${PATCHES}/${target}+strategic.yaml`,
    content: stringify(patch),
  });
  const startupProbe = { initialDelaySeconds: PERIOD_S, periodSeconds: PERIOD_S, failureThreshold: HEALTH_CHECK_S / PERIOD_S };
  const coreDns = { containers: [{ name: 'coredns', readinessProbe: { periodSeconds: PERIOD_S } }] };
  return [
    ...STATIC_PODS.map((name) => file(name, { spec: { containers: [{ name, startupProbe }] } })),
    ...(patchesCoreDns(kubernetes) ? [file('corednsdeployment', { spec: { template: { spec: coreDns } } })] : []),
  ];
}
