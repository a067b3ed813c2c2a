import type { KubernetesApi } from '../host/kubernetes.ts';

/** How long a kubelet may take to say that it is there: milliseconds where it runs, seconds on an emulated node that is busy. */
const ANSWER_MS = 3_000;

/** Whether a node lives, which the API knows only after a while. */
export function kubeletAnswers(node: string, api: KubernetesApi, signal: AbortSignal): Promise<boolean> {
  return api.kubeletAnswers(node, AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]));
}
