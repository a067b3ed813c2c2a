import type { KubernetesApi } from '../../host/kubernetes.ts';
import type { IpFamily } from '../../machine/types.ts';
import { podRangesOf } from '../addresses.ts';
import type { NodeState } from '../state.ts';

/** Roles are labels that kubelet may not give itself. */
const WORKER = 'node-role.kubernetes.io/worker';

/**
 * Labels nodes and, where kvci gave out the ranges of pods, tells them to the API.
 *
 * @param only a cluster of one node has its worker there
 */
export async function labelNode(
  node: Pick<NodeState, 'name' | 'index' | 'role' | 'labels'>,
  only: boolean,
  ranges: readonly IpFamily[] | undefined,
  api: KubernetesApi,
  signal: AbortSignal,
): Promise<void> {
  const podCIDRs = ranges === undefined ? undefined : podRangesOf(node.index, ranges);
  await api.apply(
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: node.name,
        labels: { ...node.labels, ...(node.role === 'worker' || only ? { [WORKER]: '' } : {}) },
      },
      ...(podCIDRs === undefined ? {} : { spec: { podCIDR: podCIDRs[0], podCIDRs } }),
    },
    signal,
  );
}
