import { KvciError } from '../core/errors.ts';
import { formatSize } from '../core/sizes.ts';
import { countNodes } from './bring-up.ts';
import type { ClusterPorts } from './ports.ts';
import type { NodeRole, NodeSpec } from './spec.ts';

/** Least memory of a node in bytes: kubeadm refuses a control plane with less; a worker runs kubelet, the runtime and kube-proxy. */
const LEAST_MEMORY: Readonly<Record<NodeRole, number>> = { 'control-plane': 1.7e9, worker: 0.5e9 };

/** What the processes of a node without workload take, by measurement; what is asked for is not what is used. */
const USED_MEMORY: Readonly<Record<NodeRole, number>> = { 'control-plane': 0.9e9, worker: 0.3e9 };

/** Before anything starts: nodes that do not fit would drag the host down. @throws KvciError `bad-flag`, `not-enough-memory` */
export async function checkMemory(nodes: readonly NodeSpec[], { memoryAvailable }: Pick<ClusterPorts, 'memoryAvailable'>): Promise<void> {
  const small = nodes.find(({ memory, role }) => memory !== undefined && memory < LEAST_MEMORY[role]);
  if (small !== undefined) {
    throw new KvciError(
      'usage',
      'bad-flag',
      `--memory: ${small.name} (${small.role}) needs at least ${formatSize(LEAST_MEMORY[small.role])}`,
      { facts: { flag: '--memory' } },
    );
  }
  const needed = nodes.reduce((sum, { role }) => sum + USED_MEMORY[role], 0);
  const available = await memoryAvailable();
  if (needed <= available) return;
  throw new KvciError(
    'hostNotReady',
    'not-enough-memory',
    `${countNodes(nodes)} need about ${formatSize(needed)} of memory; this host has ${formatSize(available)} available`,
    { hint: 'Ask for fewer nodes with --nodes, or free memory.', facts: { needed, available } },
  );
}
