import { throwIfCancelled } from '../core/errors.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';

/** How long a kubelet may be silent until its machine is looked at: it takes milliseconds where nothing else is to be done. */
const ANSWER_MS = 3_000;

/** How long it may take where it runs: many seconds on a busy host, and on an emulated node. */
export const SURE_ANSWER_MS = 20_000;

/** Whether a node lives, which the API knows only after a while. @throws KvciError `cancelled` */
export async function kubeletAnswers(
  node: string,
  api: Pick<KubernetesApi, 'kubeletAnswers'>,
  signal: AbortSignal,
  withinMs = ANSWER_MS,
): Promise<boolean> {
  const answers = await api.kubeletAnswers(node, AbortSignal.any([signal, AbortSignal.timeout(withinMs)]));
  // Whoever does not wait any more has learnt nothing of the node.
  if (!answers) throwIfCancelled(signal);
  return answers;
}
