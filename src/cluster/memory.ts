import { KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { type EngineAddress, otherHost } from '../host/engine/endpoint.ts';
import { formatSize } from '../core/sizes.ts';
import type { MachineProvider, NodeProvider } from '../machine/types.ts';
import { countNodes } from './count-nodes.ts';
import { placeOf } from './differences.ts';
import type { ClusterOptions } from './options.ts';
import type { ClusterPorts } from './ports.ts';
import type { NodeRole, NodeSpec } from './spec.ts';

type Bytes = Readonly<Record<NodeRole, number>>;

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Least of a node: kubeadm refuses a control plane with less; a worker runs kubelet, the runtime and kube-proxy. */
const LEAST: Readonly<Record<NodeProvider, Bytes>> = {
  kind: { 'control-plane': 1.7e9, worker: 0.5e9 },
  // The kernel keeps some for itself.
  vm: { 'control-plane': 2e9, worker: 0.8e9 },
};

/** What a container without workload takes of the host, by measurement; what is asked for is not what is used. */
const USED_BY_CONTAINER: Bytes = { 'control-plane': 0.9e9, worker: 0.3e9 };

/** What a virtual machine gets where nobody says and the host has room: some workload fits in. */
const VM_MEMORY: Bytes = { 'control-plane': 3 * GIB, worker: 2 * GIB };

/** What QEMU itself takes beside a machine's memory, by measurement. */
const QEMU_MEMORY = 150e6;

/** Nodes that are added have what was said when the cluster was made. */
const LESS = 'Free memory, or ask for less: when a cluster is made --nodes says how many nodes it has, and --memory how much each.';

/** How much of the host's memory machines that nobody has sized may have together: the host itself and page caches want some. */
const SHARE = 0.8;

/** What nodes in an engine may take: what another host has, its engine has to know. */
export function memoryOf(
  engine: EngineAddress | undefined,
  { memoryAvailable }: Pick<ClusterPorts, 'memoryAvailable'>,
): Pick<ClusterPorts, 'memoryAvailable'> {
  const isElsewhere = engine !== undefined && otherHost(engine) !== undefined;
  return { memoryAvailable: isElsewhere ? () => Promise.resolve(Infinity) : memoryAvailable };
}

/**
 * The nodes as they are to be made, before anything starts: nodes that do not fit would drag the host down. A virtual machine that
 * nobody has sized gets what there is room for. Of containers `--memory` is a bound, which most never reach: none may be promised more
 * than there is, and that all of them cannot have theirs at once is said.
 *
 * @param cores of the host
 * @param overrides by which nodes differ, for errors
 * @throws KvciError `bad-flag`, `not-enough-memory`
 */
export async function sizedNodes<Node extends NodeSpec>(
  nodes: readonly Node[],
  provider: MachineProvider['name'],
  { memoryAvailable }: Pick<ClusterPorts, 'memoryAvailable'>,
  events: EventSink,
  cores: number,
  overrides: ClusterOptions['overrides'] = {},
): Promise<readonly Node[]> {
  const kindOf = (node: Node): NodeProvider => (provider === 'mixed' ? (node.provider ?? 'kind') : provider);
  const least = (node: Node): number => LEAST[kindOf(node)][node.role];
  const small = nodes.find((node) => node.memory !== undefined && node.memory < least(node));
  if (small !== undefined) {
    const flag = placeOf('memory', small.name, overrides);
    throw new KvciError('usage', 'bad-flag', `${flag}: ${small.name} (${small.role}) needs at least ${formatSize(least(small))}`, {
      facts: { flag },
    });
  }
  const available = await memoryAvailable();
  const has = `this host has ${formatSize(available)} available`;
  // A machine takes its memory as it uses it, and gives nothing back: what was asked for has to be there.
  const needs = (node: Node): number => (kindOf(node) === 'vm' ? (node.memory ?? least(node)) + QEMU_MEMORY : USED_BY_CONTAINER[node.role]);
  const needed = nodes.reduce((sum, node) => sum + needs(node), 0);
  if (needed > available) {
    throw new KvciError('hostNotReady', 'not-enough-memory', `${countNodes(nodes)} need about ${formatSize(needed)} of memory; ${has}`, {
      hint: LESS,
      facts: { needed, available },
    });
  }
  checkBounds(
    nodes.filter((node) => kindOf(node) === 'kind'),
    available,
    has,
    events,
  );
  const sized = vmSizes(
    nodes.filter((node) => kindOf(node) === 'vm'),
    available,
    cores,
  );
  return nodes.map((node) => sized.find(({ name }) => name === node.name) ?? node);
}

function checkBounds(containers: readonly NodeSpec[], available: number, has: string, events: EventSink): void {
  const large = containers.find(({ memory = 0 }) => memory > available);
  if (large?.memory !== undefined) {
    throw new KvciError('hostNotReady', 'not-enough-memory', `${large.name} is to have ${formatSize(large.memory)} of memory; ${has}`, {
      hint: LESS,
      facts: { needed: large.memory, available },
    });
  }
  const asked = containers.reduce((sum, { role, memory }) => sum + (memory ?? USED_BY_CONTAINER[role]), 0);
  if (asked <= available) return;
  const message = `${countNodes(containers)} may take ${formatSize(asked)} of memory together; ${has}: pods that use it all are ended`;
  events({ type: 'problem', level: 'warning', message });
}

function vmSizes<Node extends NodeSpec>(nodes: readonly Node[], available: number, cores: number): readonly Node[] {
  const unsized = nodes.filter(({ memory }) => memory === undefined);
  const taken = nodes.reduce((sum, { memory }) => sum + (memory ?? 0) + QEMU_MEMORY, 0);
  const wanted = unsized.reduce((sum, { role }) => sum + VM_MEMORY[role], 0);
  const scale = Math.min(1, ((available - taken) * SHARE) / wanted);
  return nodes.map((node) => ({
    ...node,
    cpus: node.cpus ?? cpusOf(node, cores),
    memory: node.memory ?? Math.floor(Math.max(LEAST.vm[node.role], VM_MEMORY[node.role] * scale) / MIB) * MIB,
  }));
}

/**
 * kubeadm refuses a control plane with fewer than two. On a host of two cores, where workers are emulated as often as not, one is enough
 * for them: more hold each other up, and two nodes are Ready a sixth later.
 */
function cpusOf({ role }: Pick<NodeSpec, 'role'>, cores: number): number {
  if (role === 'worker' && cores <= 2) return 1;
  return Math.max(2, Math.min(MOST_CPUS, cores));
}

/** More would only wait for each other on most hosts. */
const MOST_CPUS = 4;
