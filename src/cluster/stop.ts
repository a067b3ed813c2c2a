import { compareNames } from '../core/names.ts';
import type { RunContext } from '../core/plan.ts';
import type { Machines } from '../machine/types.ts';
import type { ClusterRun } from './cluster-run.ts';
import { requireCluster, requireMade } from './find-cluster.ts';
import { lockCluster } from './lock-cluster.ts';
import type { ClusterPorts } from './ports.ts';
import type { NodeRole } from './spec.ts';
import { workOn } from './work.ts';

export interface StopResult {
  readonly name: string;
  /** Nodes that ran. */
  readonly stopped: readonly string[];
  readonly ms: number;
}

/** Pods end while there is an API to tell it to. */
const ORDER: readonly NodeRole[] = ['worker', 'control-plane'];

/** Shuts all nodes of a cluster down; what they hold stays. @throws KvciError `cluster-not-found`, `cluster-half-made` */
export async function stopCluster(name: string, ports: ClusterPorts, run: RunContext): Promise<StopResult> {
  const started = run.clock.monotonic();
  await using _lock = await lockCluster(name, ports, run);
  const state = await requireCluster(name, ports.states);
  // A stop that was ended in the middle has left some running.
  if (state.phase !== 'stopped') requireMade(state);
  await using provider = await ports.provider(state.provider, state.engine, run);
  let stopped: readonly string[] = [];
  await workOn(state, provider, ports, run, 'stop', async ({ cluster, machines }) => {
    stopped = await stopNodes(cluster, machines);
  });
  return { name, stopped: stopped.toSorted(compareNames), ms: Math.round(run.clock.monotonic() - started) };
}

/** Shuts down what runs of a cluster, and says so in its state first. Answers the names of those that ran. */
export async function stopNodes(cluster: ClusterRun, machines: Machines): Promise<readonly string[]> {
  await cluster.update({ phase: 'stopped' });
  const running = new Set((await machines.list()).filter((machine) => machine.state === 'running').map((machine) => machine.name));
  const stopped: string[] = [];
  for (const role of ORDER) {
    const nodes = cluster.state.nodes.filter((node) => node.role === role && running.has(node.name));
    await Promise.all(
      nodes.map((node) => cluster.step('stop', 'shut down', node.name, () => machines.stop(node.name, cluster.context.signal))),
    );
    stopped.push(...nodes.map((node) => node.name));
  }
  await machines.rest();
  return stopped;
}
