import { stringify } from 'yaml';

import type { NodeFile } from '../machine/types.ts';
import { HEALTH_CHECK_S } from './deadlines.ts';
import type { NodeFacts } from './node-facts.ts';
import { asksScheduler, patchesCoreDns } from './rules.ts';

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

/**
 * kubeadm has kubelet ask three of them every second whether they are ready, by a connection of TLS each time: that takes a good part of
 * an emulated node's processors.
 */
const EMULATED_PERIOD_S = 10;

/** Looks in vain before one that no longer answers is started again, five minutes: beside nodes that boot it is slow, and not dead. */
const EMULATED_FAILURES = 30;

/** @param kubernetes without a leading `v` */
export function kubeadmPatches(kubernetes: string, { emulated }: Pick<NodeFacts, 'emulated'>): readonly NodeFile[] {
  const coreDns = { containers: [{ name: 'coredns', readinessProbe: { periodSeconds: PERIOD_S } }] };
  return [
    ...(emulated ? patient(kubernetes) : eager()),
    ...(patchesCoreDns(kubernetes) ? [file('corednsdeployment', { spec: { template: { spec: coreDns } } })] : []),
  ];
}

function eager(): readonly NodeFile[] {
  const startupProbe = { initialDelaySeconds: PERIOD_S, periodSeconds: PERIOD_S, failureThreshold: HEALTH_CHECK_S / PERIOD_S };
  return STATIC_PODS.map((name) => staticPod(name, { startupProbe }));
}

function patient(kubernetes: string): readonly NodeFile[] {
  const asked = ['etcd', 'kube-apiserver', ...(asksScheduler(kubernetes) ? ['kube-scheduler'] : [])];
  return STATIC_PODS.map((name) =>
    staticPod(name, {
      livenessProbe: { failureThreshold: EMULATED_FAILURES },
      ...(asked.includes(name) ? { readinessProbe: { periodSeconds: EMULATED_PERIOD_S } } : {}),
    }),
  );
}

function staticPod(name: string, container: object): NodeFile {
  return file(name, { spec: { containers: [{ name, ...container }] } });
}

function file(target: string, patch: object): NodeFile {
  return { path: `${PATCHES}/${target}+strategic.yaml`, content: stringify(patch) };
}
