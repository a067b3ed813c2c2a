import { readFile } from 'node:fs/promises';

import { deadline } from '../core/deadline.ts';
import { hasErrno, KvciError, messageOf } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { ClusterView } from '../host/kubernetes.ts';
import type { Machines } from '../machine/types.ts';
import { leadAgain } from './lead-again.ts';
import { livingNodes } from './living-nodes.ts';
import type { ClusterPorts } from './ports.ts';
import { type ClusterState, machinesSpec } from './state.ts';
import { missing, notReady } from './steps/ready.ts';

/** How a cluster is, as `kvci status` and `kvci list` show it. */
export interface ClusterStatus {
  readonly state: ClusterState;
  /** `ready` only when everything is right now. */
  readonly condition: 'ready' | 'not-ready' | 'stopped' | 'half-made' | 'unreachable';
  /** What is not Ready, and why. */
  readonly problems: readonly string[];
  readonly view: ClusterView | undefined;
}

/** One of which there is a state file, and no more to be told. */
export interface UnreadableCluster {
  readonly name: string;
  readonly condition: 'unreadable';
  readonly problems: readonly string[];
}

/** A cluster of a list: one that cannot be read hides none of the others. Undefined for one that went away meanwhile. */
export async function listedCluster(
  name: string,
  ports: ClusterPorts,
  run: RunContext,
): Promise<ClusterStatus | UnreadableCluster | undefined> {
  try {
    const state = await ports.states.find(name);
    return state === undefined ? undefined : await clusterStatus(state, ports, run);
  } catch (error) {
    if (!(error instanceof KvciError) || !['state-unreadable', 'state-of-another-version'].includes(error.code)) throw error;
    return { name, condition: 'unreadable', problems: [error.message] };
  }
}

/** Until an API server has told of nodes and pods: a fraction of a second, and seconds where host and nodes are busy. */
const LOOK_MS = 10_000;

export async function clusterStatus(state: ClusterState, ports: ClusterPorts, run: RunContext): Promise<ClusterStatus> {
  if (state.phase === 'stopped') return { state, condition: 'stopped', problems: [], view: undefined };
  const text = await kubeconfigOf(state.name, ports).catch(() => undefined);
  const view = text === undefined ? undefined : await look(state, text, ports, run);
  if (view instanceof Error || view === undefined) {
    const problems = view === undefined ? [] : [messageOf(view)];
    return { state, condition: state.phase === 'ready' ? 'unreachable' : 'half-made', problems, view: undefined };
  }
  const problems = [
    ...notReady(
      view,
      state.nodes.map(({ name }) => name),
    ),
    ...(await registryProblems(state, ports)),
  ];
  const condition = state.phase !== 'ready' ? 'half-made' : missing(state, view).length === 0 ? 'ready' : 'not-ready';
  return { state, condition, problems, view };
}

async function registryProblems({ name, options }: ClusterState, ports: ClusterPorts): Promise<readonly string[]> {
  if (options.registry !== true || (await (await ports.registry()).port()) !== undefined) return [];
  return [`the registry beside it does not run: "kvci up ${name}" starts it again`];
}

/** What the API tells, with nodes that died as what they are: not Ready. */
async function look(state: ClusterState, kubeconfig: string, ports: ClusterPorts, run: RunContext): Promise<ClusterView | KvciError> {
  using limit = deadline(
    run.clock,
    LOOK_MS,
    run.signal,
    () => new KvciError('timedOut', 'api-unreachable', 'the API server does not answer'),
  );
  try {
    await leadAgain(state, ports, { ...run, signal: limit.signal });
    const api = await ports.api(kubeconfig);
    const { nodes, pods } = await api.view(limit.signal);
    const list: Machines['list'] = async () => {
      await using machines = await machinesOf(state, ports, run);
      return await machines.list();
    };
    return { nodes: await livingNodes(nodes, api, list, run.signal), pods };
  } catch (error) {
    if (error instanceof KvciError && ['api-unreachable', 'api-refused'].includes(error.code)) return error;
    throw error;
  }
}

/** The kubeconfig of a cluster. @throws KvciError `no-kubeconfig` before its control plane stands */
export async function kubeconfigOf(name: string, { states }: Pick<ClusterPorts, 'states'>): Promise<string> {
  try {
    return await readFile(states.files(name).kubeconfig, 'utf8');
  } catch (error) {
    if (!hasErrno(error, 'ENOENT')) throw error;
    throw new KvciError('notFoundOrExists', 'no-kubeconfig', `the cluster "${name}" has no control plane yet`, {
      hint: `Bring it up with "kvci up ${name}".`,
      cause: error,
    });
  }
}

/** The machines of a cluster that is there. */
export async function machinesOf(state: ClusterState, ports: ClusterPorts, run: RunContext): Promise<Machines> {
  const provider = await ports.provider(state.provider, state.engine, run);
  await leadAgain(state, ports, run);
  return provider.machines(machinesSpec(state));
}
