import type { KubernetesApi, ObservedNode } from '../host/kubernetes.ts';
import type { Machines } from '../machine/types.ts';
import { kubeletAnswers, SURE_ANSWER_MS } from './kubelet.ts';

/**
 * Nodes that the API has as Ready and that are not any more, which it notices late, as what they are.
 *
 * A kubelet that is silent for a moment may be a busy one: whether its machine runs tells at once, and one that does gets time.
 *
 * @param list the cluster's machines, asked only where a kubelet is silent
 */
export async function livingNodes(
  nodes: readonly ObservedNode[],
  api: Pick<KubernetesApi, 'kubeletAnswers'>,
  list: Machines['list'],
  signal: AbortSignal,
): Promise<readonly ObservedNode[]> {
  const answers = await Promise.all(nodes.map(async ({ name, ready }) => !ready || (await kubeletAnswers(name, api, signal))));
  if (!answers.includes(false)) return nodes;
  // Where the engine cannot be asked, either, kubelets have the word.
  const machines = await list().catch(() => undefined);
  const isStopped = (node: string): boolean => machines?.some(({ name, state }) => name === node && state === 'running') === false;
  return Promise.all(
    nodes.map(async (node, at) => {
      if (answers[at] === true) return node;
      if (isStopped(node.name)) return { ...node, ready: false, message: 'does not run' };
      if (await kubeletAnswers(node.name, api, signal, SURE_ANSWER_MS)) return node;
      return { ...node, ready: false, message: 'its kubelet does not answer' };
    }),
  );
}
