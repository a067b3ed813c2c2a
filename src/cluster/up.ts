import process from 'node:process';

import { deadline } from '../core/deadline.ts';
import { KvciError } from '../core/errors.ts';
import type { PlannedStep } from '../core/events.ts';
import type { RunContext } from '../core/plan.ts';
import { formatSize } from '../core/sizes.ts';
import { identify } from '../host/processes.ts';
import type { Machines, MachineProvider } from '../machine/types.ts';
import { bringUp, countNodes } from './bring-up.ts';
import { clusterStatus } from './clusters.ts';
import { ClusterRun } from './cluster-run.ts';
import { UP_DEADLINE_MS } from './deadlines.ts';
import { differences } from './differences.ts';
import { lockCluster } from './lock-cluster.ts';
import { checkTogether, type ClusterOptions } from './options.ts';
import type { ClusterPorts, NodeImage } from './ports.ts';
import { familiesOf, nodeSpecs } from './spec.ts';
import { type ClusterState, parseState, type NodeState } from './state.ts';
import { runId } from './tokens.ts';

export interface UpRequest {
  readonly options: ClusterOptions;
  /** Those of the options that were given: a cluster that is there has to have them. */
  readonly asked: Partial<ClusterOptions>;
  /** What was asked for as the image, in words: a cluster that is there has to be of it. */
  readonly wanted: string | undefined;
  /** Finds the node image or builds it; asked only where there is no cluster yet. */
  image(run: RunContext): Promise<NodeImage>;
  /** Leaves what there is when the bring-up fails. */
  readonly keepOnFailure: boolean;
  /** Of the whole bring-up once the image is there, in milliseconds. */
  readonly timeoutMs?: number | undefined;
}

export interface UpResult {
  readonly state: ClusterState;
  /** It was Ready already: nothing was changed. */
  readonly reused: boolean;
  readonly kubeconfig: string;
}

/** Least memory of a node in bytes: kubeadm refuses a control plane with less; a worker runs kubelet, the runtime and kube-proxy. */
const LEAST_MEMORY: Readonly<Record<NodeState['role'], number>> = { 'control-plane': 1.7e9, worker: 0.5e9 };

/** What the processes of a node without workload take, by measurement; what is asked for is not what is used. */
const USED_MEMORY: Readonly<Record<NodeState['role'], number>> = { 'control-plane': 0.9e9, worker: 0.3e9 };

/**
 * Brings a cluster up: makes it, goes on with a half-made or stopped one, or finds it Ready and changes nothing.
 *
 * @throws KvciError `cluster-differs`, `not-enough-memory`, `not-ready`, and what its steps throw
 */
export async function up(request: UpRequest, ports: ClusterPorts, run: RunContext): Promise<UpResult> {
  const { options } = request;
  checkTogether(options);
  const { name } = options;
  await using _lock = await lockCluster(name, ports, run);
  const before = await ports.states.find(name);
  if (before !== undefined) refuseOther(before, request);
  const kubeconfig = ports.states.files(name).kubeconfig;
  if (before?.phase === 'ready' && (await clusterStatus(before, ports, run)).condition === 'ready')
    return { state: before, reused: true, kubeconfig };

  const provider = await ports.provider(before?.provider ?? chooseProvider(options), run);
  const owner = await identify(process.pid);
  const state = before ?? (await firstState(request, provider, ports, run));
  const { digest } = state.image;
  const cluster = new ClusterRun({ ...state, ...(owner === undefined ? {} : { owner }) }, ports.states, run);
  // On disk before anything is made of it.
  await cluster.update({});
  let machines: Machines | undefined;
  try {
    if (!(await provider.hasImage(digest))) {
      await cluster.step('image', 'node image to where machines start from', undefined, (output) =>
        provider.prepare(
          digest,
          (line) => {
            output.line(line);
          },
          run.signal,
        ),
      );
    }
    machines = await provider.machines({ cluster: name, run: state.run, image: digest });
    await withDeadline(request, cluster, machines, ports);
  } catch (error) {
    // A cluster that was there before this run is not ours to take away.
    if (state.phase === 'creating' && !request.keepOnFailure) {
      await machines?.destroy();
      await ports.states.remove(name);
    }
    throw error;
  } finally {
    await machines?.[Symbol.asyncDispose]();
    if (await ports.states.find(name)) await cluster.update({ owner: undefined });
  }
  return { state: cluster.state, reused: false, kubeconfig };
}

async function withDeadline(request: UpRequest, cluster: ClusterRun, machines: Machines, ports: ClusterPorts): Promise<void> {
  const { clock, signal } = cluster.context;
  const ms = request.timeoutMs ?? UP_DEADLINE_MS;
  using limit = deadline(
    clock,
    ms,
    signal,
    () =>
      new KvciError('timedOut', 'up-timed-out', `the cluster was not up after ${Math.round(ms / 1000)} s`, {
        hint: 'Give it more time with --timeout, or look at what it left with --keep-on-failure.',
      }),
  );
  await bringUp(cluster.within(limit.signal), machines, ports);
}

/** What `up` would do; changes nothing. */
export async function planUp(
  request: UpRequest,
  ports: ClusterPorts,
  imageSteps: () => Promise<readonly PlannedStep[]>,
): Promise<readonly PlannedStep[]> {
  const { options } = request;
  checkTogether(options);
  const before = await ports.states.find(options.name);
  if (before !== undefined) {
    refuseOther(before, request);
    if (before.phase === 'ready')
      return [{ id: 'cluster', title: `cluster ${before.name}`, action: 'reuse', reason: `Ready with ${countNodes(before.nodes)}` }];
  }
  const reason = before === undefined ? 'there is no such cluster yet' : `it is ${before.phase}`;
  const nodes = before?.nodes ?? nodeSpecs(options);
  const step = (id: string, title: string, why = reason): PlannedStep => ({ id, title, action: 'run', reason: why });
  return [
    ...(before === undefined ? await imageSteps() : []),
    step('network', `network (${familiesOf(options.ipFamily).join(', ')})`),
    ...nodes.map(({ name, role }) => step(`boot ${name}`, `boot ${name} (${role})`)),
    step('init', 'kubeadm init on node01'),
    ...nodes.slice(1).map(({ name }) => step(`join ${name}`, `kubeadm join of ${name}`)),
    step('configure', `pod network (${options.cni}), storage`),
    step('ready', 'Ready: nodes, system pods, names and connections between pods'),
  ];
}

export function chooseProvider({ provider }: ClusterOptions): MachineProvider['name'] {
  return provider === 'auto' ? 'kind' : provider;
}

async function firstState(request: UpRequest, provider: MachineProvider, ports: ClusterPorts, run: RunContext): Promise<ClusterState> {
  const { options } = request;
  await checkMemory(options, ports);
  const image = await request.image(run);
  return parseState(
    JSON.stringify({
      version: 1,
      name: options.name,
      run: runId(),
      createdAt: new Date(run.clock.now()).toISOString(),
      phase: 'creating',
      options,
      wanted: request.wanted ?? image.name,
      provider: provider.name,
      image: { digest: image.digest, name: image.name },
      kubernetes: image.kubernetes,
      families: familiesOf(options.ipFamily),
      nodes: nodeSpecs(options),
      steps: [],
    }),
    'the new state',
  );
}

/** A cluster of this name that is not what was asked for. */
function refuseOther(state: ClusterState, request: UpRequest): void {
  if (state.phase === 'removing') {
    throw new KvciError('notFoundOrExists', 'cluster-removing', `the cluster "${state.name}" was being removed`, {
      hint: `Finish that with "kvci down ${state.name}".`,
    });
  }
  const differing = differences(state, request);
  if (differing.length === 0) return;
  throw new KvciError(
    'notFoundOrExists',
    'cluster-differs',
    [`there is a cluster "${state.name}" that differs from what you ask for:`, ...differing].join('\n  '),
    { hint: `Remove it with "kvci down ${state.name}", or give the new one another name: "kvci up NAME".` },
  );
}

/** Before anything starts: nodes that do not fit would drag the host down. */
async function checkMemory(options: ClusterOptions, ports: ClusterPorts): Promise<void> {
  const nodes = nodeSpecs(options);
  const small = nodes.find(({ memory, role }) => memory !== undefined && memory < LEAST_MEMORY[role]);
  if (small !== undefined) {
    throw new KvciError(
      'usage',
      'bad-flag',
      `--memory: ${small.name} (${small.role}) needs at least ${formatSize(LEAST_MEMORY[small.role])}`,
      {
        facts: { flag: '--memory' },
      },
    );
  }
  const needed = nodes.reduce((sum, { role }) => sum + USED_MEMORY[role], 0);
  const available = await ports.memoryAvailable();
  if (needed <= available) return;
  throw new KvciError(
    'hostNotReady',
    'not-enough-memory',
    `${countNodes(nodes)} need about ${formatSize(needed)} of memory; this host has ${formatSize(available)} available`,
    { hint: 'Ask for fewer nodes with --nodes, or free memory.', facts: { needed, available } },
  );
}
