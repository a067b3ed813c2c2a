import type { KubernetesApi } from '../host/kubernetes.ts';

/** How long a kubelet may take to say that it is there: milliseconds where it runs, seconds on an emulated node that is busy. */
const ANSWER_MS = 3_000;

/** The same for who would take its pods from it without asking them. */
export const SURE_ANSWER_MS = 20_000;

/** Whether a node lives, which the API knows only after a while. */
export function kubeletAnswers(node: string, api: KubernetesApi, signal: AbortSignal, withinMs = ANSWER_MS): Promise<boolean> {
  return api.kubeletAnswers(node, AbortSignal.any([signal, AbortSignal.timeout(withinMs)]));
}
