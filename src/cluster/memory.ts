import { KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { formatSize } from '../core/sizes.ts';
import { countNodes } from './bring-up.ts';
import type { ClusterPorts } from './ports.ts';
import type { NodeRole, NodeSpec } from './spec.ts';

/** Least memory of a node in bytes: kubeadm refuses a control plane with less; a worker runs kubelet, the runtime and kube-proxy. */
const LEAST_MEMORY: Readonly<Record<NodeRole, number>> = { 'control-plane': 1.7e9, worker: 0.5e9 };

/** What the processes of a node without workload take, by measurement; what is asked for is not what is used. */
const USED_MEMORY: Readonly<Record<NodeRole, number>> = { 'control-plane': 0.9e9, worker: 0.3e9 };

/**
 * Before anything starts: nodes that do not fit would drag the host down. What is asked for with `--memory` is a bound, which most
 * nodes never reach: no node may be promised more than there is, and that all of them cannot have theirs at once is said.
 *
 * @throws KvciError `bad-flag`, `not-enough-memory`
 */
export async function checkMemory(
  nodes: readonly NodeSpec[],
  { memoryAvailable }: Pick<ClusterPorts, 'memoryAvailable'>,
  events: EventSink,
): Promise<void> {
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
  const has = `this host has ${formatSize(available)} available`;
  if (needed > available) {
    throw new KvciError('hostNotReady', 'not-enough-memory', `${countNodes(nodes)} need about ${formatSize(needed)} of memory; ${has}`, {
      hint: 'Ask for fewer nodes with --nodes, or free memory.',
      facts: { needed, available },
    });
  }
  const large = nodes.find(({ memory = 0 }) => memory > available);
  if (large?.memory !== undefined) {
    throw new KvciError('hostNotReady', 'not-enough-memory', `${large.name} is to have ${formatSize(large.memory)} of memory; ${has}`, {
      hint: 'Ask for less with --memory, or free memory.',
      facts: { needed: large.memory, available },
    });
  }
  const asked = nodes.reduce((sum, { role, memory }) => sum + (memory ?? USED_MEMORY[role]), 0);
  if (asked <= available) return;
  const message = `${countNodes(nodes)} may take ${formatSize(asked)} of memory together; ${has}: pods that use it all are ended`;
  events({ type: 'problem', level: 'warning', message });
}
