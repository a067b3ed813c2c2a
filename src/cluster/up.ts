import { availableParallelism } from 'node:os';

import { KvciError, messageOf } from '../core/errors.ts';
import type { PlannedStep } from '../core/events.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineAddress } from '../host/engine/endpoint.ts';
import type { MachineProvider } from '../machine/types.ts';
import { chooseProvider } from './choose-provider.ts';
import { clusterStatus } from './clusters.ts';
import { countNodes } from './count-nodes.ts';
import { differences } from './differences.ts';
import { refuseRemoving, requireCluster } from './find-cluster.ts';
import { refuseMisfit } from './fit-providers.ts';
import { lockCluster } from './lock-cluster.ts';
import { memoryOf, sizedNodes } from './memory.ts';
import { checkTogether, type ClusterOptions, parseCni } from './options.ts';
import type { ClusterPorts, NodeImage } from './ports.ts';
import { refuseEngine } from './refuse-engine.ts';
import { ensureRegistry, readTrusted, releaseRegistry } from './registries.ts';
import { clusterProvider, familiesOf, type NodeSpec, nodeSpecs } from './spec.ts';
import { type ClusterState, machinesSpec, parseState, withoutLeaving } from './state.ts';
import { runId } from './tokens.ts';
import { bringAllUp, type Work, workOn } from './work.ts';

export interface UpRequest {
  readonly options: ClusterOptions;
  /** Those of the options that were given: a cluster that is there has to have them. */
  readonly asked: Partial<ClusterOptions>;
  /** What was asked for as the image, in words: a cluster that is there has to be of it. */
  readonly wanted: string | undefined;
  /** Where nodes that are containers are to be; asked only where there is no cluster yet. */
  readonly engine: EngineChoice;
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

/**
 * Brings a cluster up: makes it, goes on with a half-made or stopped one, or finds it Ready and changes nothing.
 *
 * @throws KvciError `cluster-differs`, `not-enough-memory`, `not-ready`, and what its steps throw
 */
export async function up(request: UpRequest, ports: ClusterPorts, run: RunContext): Promise<UpResult> {
  checkTogether(request.options);
  const { name } = request.options;
  await using _lock = await lockCluster(name, ports, run);
  const before = await ports.states.find(name);
  if (before !== undefined) {
    refuseOther(withoutLeaving(before), request);
    return await goOn(before, { ...request, command: 'up', fresh: false }, ports, run);
  }
  let found: Promise<NodeImage> | undefined;
  const image = (): Promise<NodeImage> => (found ??= request.image(run));
  const options = await decided(request, image, ports, run);
  const provided = clusterProvider(options);
  const engine =
    provided === 'kind'
      ? await ports.engine(request.engine, { registry: options.registry === true }, run)
      : await ports.sandboxEngine(options.sandbox, request.engine);
  const memory = memoryOf(engine, ports);
  const nodes = await sizedNodes(nodeSpecs(options), provided, memory, run.events, availableParallelism(), options.overrides);
  await using provider = await ports.provider(provided, engine, run);
  return await make(
    await firstState({ ...request, options, image }, nodes, provider, engine, run),
    provider,
    { ...request, command: 'up', fresh: true },
    ports,
    run,
  );
}

/** The options once it is decided what nodes are, which is told. @throws KvciError `bad-flag`, `engine-of-another`, `not-enough-memory` */
async function decided(
  { options, engine }: UpRequest,
  image: () => Promise<NodeImage>,
  ports: ClusterPorts,
  run: RunContext,
): Promise<ClusterOptions> {
  // What does not even fit as containers is told before a machine is tried, for which an image may have to be built. An engine that is
  // named may be of another host, and keeps machines from being tried.
  if (options.provider === 'auto' && engine.kind === 'auto') {
    await sizedNodes(nodeSpecs(options), 'kind', ports, () => undefined, availableParallelism(), options.overrides);
  }
  const chosen = await chooseProvider(options, engine.kind !== 'auto', () => ports.kvm(async () => (await image()).digest, run));
  refuseMisfit(chosen.options);
  refuseEngine(engine, chosen.options);
  if (chosen.note !== undefined) run.events({ type: 'problem', level: 'note', message: chosen.note });
  return chosen.options;
}

/** Starts a cluster that was stopped; goes on with a half-made one. @throws KvciError `cluster-not-found`, as `up` */
export async function startCluster(
  name: string,
  settings: Pick<UpRequest, 'timeoutMs'>,
  ports: ClusterPorts,
  run: RunContext,
): Promise<UpResult> {
  await using _lock = await lockCluster(name, ports, run);
  const state = await requireCluster(name, ports.states);
  refuseRemoving(state);
  return await goOn(state, { ...settings, keepOnFailure: true, command: 'start', fresh: false }, ports, run);
}

export interface MakeSettings extends Pick<UpRequest, 'keepOnFailure' | 'timeoutMs'> {
  readonly command: 'up' | 'start' | 'reset';
  /** How the cluster is brought up; default: each node boots, and is made a member where it is none. */
  readonly bring?: (work: Work) => Promise<void>;
  /** This run made its state: what was there before is not ours to take away. */
  readonly fresh: boolean;
}

async function goOn(before: ClusterState, settings: MakeSettings, ports: ClusterPorts, run: RunContext): Promise<UpResult> {
  if (before.phase === 'ready' && !isLeft(before) && (await clusterStatus(before, ports, run)).condition === 'ready') {
    // It may have ended by itself, or with the host.
    await ensureRegistry(before, ports, run.signal);
    return { state: before, reused: true, kubeconfig: ports.states.files(before.name).kubeconfig };
  }
  await using provider = await ports.provider(before.provider, before.engine, run);
  return await make(before, provider, settings, ports, run);
}

/** Whether some node is on its way out. */
function isLeft({ nodes }: ClusterState): boolean {
  return nodes.some(({ leaving }) => leaving === true);
}

/** Makes what is missing of a cluster whose lock is held. What it made itself it takes away when it fails, unless it is to be kept. */
export async function make(
  before: ClusterState,
  provider: MachineProvider,
  { keepOnFailure, timeoutMs, command, fresh, bring }: MakeSettings,
  ports: ClusterPorts,
  run: RunContext,
): Promise<UpResult> {
  const { name } = before;
  const undo = fresh && !keepOnFailure;
  // Nothing is made before the work begins.
  const made = { gone: true };
  try {
    const state = await workOn(before, provider, ports, run, command, async (work) => {
      made.gone = false;
      try {
        await (bring === undefined ? bringAllUp(work, ports, timeoutMs) : bring(work));
      } catch (error) {
        if (undo) made.gone = await destroyed(work, before, run);
        throw error;
      }
    });
    return { state, reused: false, kubeconfig: ports.states.files(name).kubeconfig };
  } catch (error) {
    // The state goes last: what is not gone is found by it.
    if (undo && made.gone) {
      await ports.records.keep(ports.states.files(name).events, { command, subject: name });
      await ports.states.remove(name);
      await releaseRegistry(ports);
    }
    throw error;
  }
}

/** Takes away what was made. A failure is told, and hides nothing of what failed before. */
async function destroyed({ machines, provider }: Work, state: ClusterState, { events, signal }: RunContext): Promise<boolean> {
  const { name } = state;
  try {
    await machines.destroy().catch(async (error: unknown) => {
      // What was lost in between, such as the service of an engine, is there again for who asks anew.
      if (signal.aborted) throw error;
      await using again = await provider.machines(machinesSpec(state));
      await again.destroy();
    });
    return true;
  } catch (error) {
    const message = `what was made of the cluster "${name}" could not be removed: ${messageOf(error)}`;
    events({ type: 'problem', level: 'warning', message, hint: `Remove it with "kvci down ${name}".` });
    return false;
  }
}

/** What `up` would do; changes nothing. */
export async function planUp(
  request: UpRequest,
  ports: ClusterPorts,
  imageSteps: () => Promise<readonly PlannedStep[]>,
): Promise<readonly PlannedStep[]> {
  const { options } = request;
  checkTogether(options);
  // What "auto" would take may need a trial.
  if (options.provider !== 'auto') {
    refuseMisfit(options);
    refuseEngine(request.engine, options);
  }
  const before = await ports.states.find(options.name);
  if (before !== undefined) {
    refuseOther(withoutLeaving(before), request);
    if (before.phase === 'ready' && !isLeft(before))
      return [{ id: 'cluster', title: `cluster ${before.name}`, action: 'reuse', reason: `Ready with ${countNodes(before.nodes)}` }];
  }
  const reason = before === undefined ? 'there is no such cluster yet' : `it is ${before.phase}`;
  const nodes = before?.nodes ?? nodeSpecs(options);
  const withDisk = (before?.provider ?? clusterProvider(options)) !== 'kind';
  const step = (id: string, title: string, why = reason): PlannedStep => ({ id, title, action: 'run', reason: why });
  return [
    ...(before === undefined ? await imageSteps() : []),
    step('image', 'node image to where machines start from', withDisk ? 'as a disk, unless it is made already' : 'unless it is there'),
    ...(options.registry === true ? [step('registry', 'registry')] : []),
    step('network', `network (${familiesOf(options.ipFamily).join(', ')})`),
    ...nodes.map(({ name, role }) => step(`boot ${name}`, `boot ${name} (${role})`)),
    step('api', 'address of the API on this host'),
    step('certificates', 'certificates on node01'),
    step('init', 'kubeadm init on node01'),
    step('configure', `pod network (${options.cni}), storage`),
    ...(nodes.length > 1 ? [step('signed', 'signed information to join by')] : []),
    ...nodes.slice(1).map(({ name }) => step(`join ${name}`, `kubeadm join of ${name}`)),
    ...(parseCni(options.cni).kind === 'none' ? [] : [step('probe', 'probe of names and connections')]),
    step('label', 'labels of nodes'),
    step('ready', 'Ready: nodes, system pods, names and connections between pods'),
  ];
}

async function firstState(
  request: UpRequest,
  nodes: readonly NodeSpec[],
  provider: MachineProvider,
  engine: EngineAddress | undefined,
  run: RunContext,
): Promise<ClusterState> {
  const { options } = request;
  // Before an image is built for nothing.
  const trusted = await readTrusted(options);
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
      engine,
      ...(Object.keys(trusted).length === 0 ? {} : { trusted }),
      image: { digest: image.digest, name: image.name },
      kubernetes: image.kubernetes,
      families: familiesOf(options.ipFamily),
      nodes,
      steps: [],
    }),
    'the new state',
  );
}

/** A cluster of this name that is not what was asked for. */
function refuseOther(state: ClusterState, request: UpRequest): void {
  refuseRemoving(state);
  const differing = differences(state, request);
  if (differing.length === 0) return;
  throw new KvciError(
    'notFoundOrExists',
    'cluster-differs',
    [`there is a cluster "${state.name}" that differs from what you ask for:`, ...differing].join('\n  '),
    { hint: `Remove it with "kvci down ${state.name}", or give the new one another name: "kvci up NAME".` },
  );
}
