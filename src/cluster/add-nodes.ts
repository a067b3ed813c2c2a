import { availableParallelism } from 'node:os';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { networkOf } from './addresses.ts';
import { isBalanced } from './endpoint.ts';
import { requireCluster, requireMade } from './find-cluster.ts';
import { lockCluster } from './lock-cluster.ts';
import { memoryOf, sizedNodes } from './memory.ts';
import { mostNodes } from './fit-providers.ts';
import { MOST_CONTROL_PLANES } from './options.ts';
import type { ClusterPorts } from './ports.ts';
import { type NodeRole, nodeSpec } from './spec.ts';
import { type ClusterState, type NodeState, withNodes } from './state.ts';
import { bringAllUp, workOn } from './work.ts';

export interface AddRequest {
  readonly role: NodeRole;
  readonly count: number;
  readonly timeoutMs?: number | undefined;
}

export interface AddResult {
  readonly state: ClusterState;
  readonly added: readonly string[];
}

/**
 * Adds nodes to a cluster and brings them up. The state has them before they are there: "kvci up" goes on with what a killed run left.
 *
 * @throws KvciError `single-control-plane`, `too-many-nodes`, `not-enough-memory`, and what bringing up throws
 */
export async function addNodes(name: string, request: AddRequest, ports: ClusterPorts, run: RunContext): Promise<AddResult> {
  await using _lock = await lockCluster(name, ports, run);
  const before = await requireCluster(name, ports.states);
  requireMade(before);
  const more = withMore(before, request).filter((node) => !before.nodes.includes(node));
  const memory = memoryOf(before.engine, ports);
  const added = await sizedNodes(more, before.provider, memory, run.events, availableParallelism(), before.options.overrides);
  const nodes = [...before.nodes, ...added].toSorted((a, b) => a.index - b.index);
  await using provider = await ports.provider(before.provider, before.engine, run);
  const state = await workOn(before, provider, ports, run, 'node add', async (work) => {
    await work.cluster.update(withNodes(before, nodes));
    await bringAllUp(work, ports, request.timeoutMs);
  });
  return { state, added: added.map((node) => node.name) };
}

/** The nodes of a cluster and new ones, which get the lowest numbers that are free. */
export function withMore(state: ClusterState, { role, count }: AddRequest): readonly NodeState[] {
  const { nodes, options, provider } = state;
  const most = mostNodes(provider);
  if (role === 'control-plane' && !isBalanced(state, networkOf(state))) {
    throw new KvciError(
      'usage',
      'single-control-plane',
      `the cluster "${state.name}" was made with a single control plane, which its nodes call by its own address: it can have no other`,
      { hint: `Add a worker, or make a cluster with "kvci up NAME --control-planes 3".` },
    );
  }
  const free = Array.from({ length: most }, (_, at) => at + 1).filter((index) => !nodes.some((node) => node.index === index));
  const controlPlanes = nodes.filter((node) => node.role === 'control-plane').length + (role === 'control-plane' ? count : 0);
  if (count > free.length) throw tooMany(`${nodes.length} and ${count} nodes are more than ${most}`);
  if (controlPlanes > MOST_CONTROL_PLANES) throw tooMany(`${controlPlanes} control planes are more than ${MOST_CONTROL_PLANES}`);
  const more = free.slice(0, count).map((index) => ({ ...nodeSpec(index, role, options, provider), joined: false }));
  return [...nodes, ...more].toSorted((a, b) => a.index - b.index);
}

function tooMany(message: string): KvciError {
  return new KvciError('usage', 'too-many-nodes', message);
}
