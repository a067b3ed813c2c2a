import { existsSync } from 'node:fs';

import { chooseApiPort } from '../cluster/api-port.ts';
import { clusterStatus } from '../cluster/clusters.ts';
import { refuseRemoving } from '../cluster/find-cluster.ts';
import { lockCluster } from '../cluster/lock-cluster.ts';
import { parseClusterName } from '../cluster/options.ts';
import type { ClusterState } from '../cluster/state.ts';
import { runId } from '../cluster/tokens.ts';
import { make, type UpRequest, type UpResult } from '../cluster/up.ts';
import { bringAllUp, type Work } from '../cluster/work.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineAddress } from '../host/engine/endpoint.ts';
import type { MachineProvider } from '../machine/types.ts';
import { newCredentials, renewalOf, renewCertificates } from './credentials.ts';
import { guestsBy } from './guests.ts';
import { machineSpecs, snapshotsOf } from './only-vms.ts';
import type { SnapshotPorts } from './ports.ts';
import { reachAgain } from './reach-again.ts';
import type { SnapshotRecord } from './record.ts';
import { requireRunnable } from './runnable.ts';
import { takeTurn } from './turn.ts';

export interface RestoreRequest extends Pick<UpRequest, 'keepOnFailure' | 'timeoutMs'> {
  /** Of the new cluster. */
  readonly name: string;
  readonly snapshot: string;
  /** Boots its nodes from their disks: what was in memory is left out. */
  readonly cold: boolean;
  /** Gives it keys of its own; one that was imported gets them always. */
  readonly freshIdentity: boolean;
  /** For a sandbox that is a container; default: the engine of the one that was saved. */
  readonly engine?: EngineChoice;
}

/**
 * Makes a cluster of a snapshot: its own sandbox, its own port on this host, its own kubeconfig. Answers when it is Ready.
 *
 * @throws KvciError `snapshot-not-found`, `snapshot-damaged`, `snapshot-needs-disk`, `snapshot-refused`, `cluster-exists`, `not-ready`
 */
export async function upFromSnapshot(request: RestoreRequest, ports: SnapshotPorts, run: RunContext): Promise<UpResult> {
  const name = parseClusterName(request.name);
  const { timeoutMs, cold } = request;
  await using _lock = await lockCluster(name, ports, run);
  // Whoever would remove it waits.
  await using _kept = await ports.locks.shared(ports.snapshots.lock(request.snapshot), { signal: run.signal });
  const record = await ports.snapshots.require(request.snapshot);
  const before = await ports.states.find(name);
  if (before !== undefined) return await reuse(before, record, ports, run);
  await using provider = await ports.provider('vm', undefined, run);
  const files = await outsideFiles(record, provider, run.signal);
  await requireRunnable(record, files, ports, run);
  const bring = async (work: Work): Promise<void> => {
    await using _turn = cold ? undefined : await takeTurn(work, record.machines, ports);
    const since = run.clock.now();
    await work.cluster.step('restore', cold ? 'disks of all nodes' : 'all nodes as they were', undefined, async () => {
      const { signal } = work.cluster.context;
      const folder = ports.snapshots.folder(record);
      await snapshotsOf(work.cluster.state, work.machines).restore(
        record.machines,
        { folder, files, cold },
        machineSpecs(work.cluster.state),
        signal,
      );
    });
    if (cold) await bringAllUp(work, ports, timeoutMs);
    const adminConf = await ownCredentials(work, record, request, ports, run);
    if (!cold || adminConf !== record.kubeconfig) await reachAgain(work, adminConf, since, ports, timeoutMs);
  };
  const engine = await engineOf(record, request.engine, ports);
  const state = { ...(await newState(name, record, ports, run)), engine };
  return await make(state, provider, { ...request, command: 'up', fresh: true, bring }, ports, run);
}

/**
 * What the cluster is called by from this host, and its nodes' keys: as they were, or its own. Certificates that are near their end are
 * made anew. Answers the administrator's kubeconfig.
 */
async function ownCredentials(
  { cluster, machines }: Work,
  record: SnapshotRecord,
  { freshIdentity }: RestoreRequest,
  { templates }: SnapshotPorts,
  { clock }: RunContext,
): Promise<string> {
  const { state, context } = cluster;
  const { signal } = context;
  const fresh = freshIdentity || record.imported === true;
  const renewal = renewalOf(record.kubeconfig, clock.now());
  if (!fresh && renewal === 'none') return record.kubeconfig;
  const leaders = state.nodes.filter(({ role }) => role === 'control-plane').map(({ name }) => name);
  let adminConf = record.kubeconfig;
  const guests = guestsBy(templates);
  // What they sign bears their time.
  await cluster.step('wake', 'clocks', undefined, () =>
    Promise.all(state.nodes.map(async ({ name }) => guests.wake(await machines.node(name, signal), context))).then(() => undefined),
  );
  if (fresh)
    await cluster.step('identity', 'keys of nodes', undefined, () => snapshotsOf(state, machines).renewKeys(machineSpecs(state), signal));
  // By the keys that count now.
  const nodes = await Promise.all(leaders.map((name) => machines.node(name, signal)));
  if (renewal !== 'none') {
    const renewed = await cluster.step('certificates', 'certificates near their end', undefined, () =>
      Promise.all(nodes.map((node) => renewCertificates(node, renewal, signal))),
    );
    adminConf = renewed[0] ?? adminConf;
  }
  const [leader] = nodes;
  if (!fresh || leader === undefined) return adminConf;
  return await cluster.step('credentials', 'credentials of the administrator', leader.name, () => newCredentials(leader, state, signal));
}

/** A cluster of that name that came from this snapshot and is Ready is what is asked for. */
async function reuse(before: ClusterState, record: SnapshotRecord, ports: SnapshotPorts, run: RunContext): Promise<UpResult> {
  refuseRemoving(before);
  const { name } = before;
  if (before.snapshot?.id === record.id && (await clusterStatus(before, ports, run)).condition === 'ready') {
    return { state: before, reused: true, kubeconfig: ports.states.files(name).kubeconfig };
  }
  throw new KvciError('notFoundOrExists', 'cluster-exists', `there is a cluster "${name}" already`, {
    hint: `Give the new one another name: "kvci up --from-snapshot ${record.name} NAME". "kvci reset ${name}" puts that one back to its snapshot, "kvci down ${name}" removes it.`,
    facts: { cluster: name },
  });
}

/** The engine that the new sandbox is to be in; undefined where one is looked for, as for what comes from another host. */
async function engineOf(
  { cluster, imported }: SnapshotRecord,
  choice: EngineChoice | undefined,
  ports: Pick<SnapshotPorts, 'sandboxEngine'>,
): Promise<EngineAddress | undefined> {
  if (choice !== undefined) return await ports.sandboxEngine(cluster.options.sandbox, choice);
  return imported === true ? undefined : cluster.engine;
}

/** The new cluster before there is anything of it. */
async function newState(
  name: string,
  { id, name: snapshot, cluster }: SnapshotRecord,
  ports: SnapshotPorts,
  run: RunContext,
): Promise<ClusterState> {
  const { api: _api, apiPort: _port, owner: _owner, nodesReadyMs: _nodes, readyMs: _ready, ...kept } = cluster;
  return {
    ...kept,
    name,
    run: runId(),
    createdAt: new Date(run.clock.now()).toISOString(),
    phase: 'creating',
    options: { ...cluster.options, name },
    snapshot: { name: snapshot, id },
    apiPort: await chooseApiPort(name, ports.states),
    steps: [],
  };
}

/** Where this host has what a snapshot stands on: where it was made, or made of the same image. */
async function outsideFiles(
  { outside, cluster, imported }: SnapshotRecord,
  provider: MachineProvider,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const recorded = outside.map(({ path }) => path);
  // Of one that was imported they are its own, and made with its other files.
  if (imported === true || recorded.every((path) => existsSync(path))) return recorded;
  return (await provider.filesOf?.(cluster.image.digest, signal)) ?? recorded;
}
