import { mkdir, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { kubeconfigOf } from '../cluster/clusters.ts';
import { requireCluster, requireMade } from '../cluster/find-cluster.ts';
import { lockCluster } from '../cluster/lock-cluster.ts';
import type { ClusterState } from '../cluster/state.ts';
import { stopNodes } from '../cluster/stop.ts';
import { workOn } from '../cluster/work.ts';
import { allOf } from '../core/all-of.ts';
import type { Digest } from '../core/digest.ts';
import { KvciError, messageOf, throwIfCancelled } from '../core/errors.ts';
import { parseName } from '../core/names.ts';
import type { RunContext } from '../core/plan.ts';
import { asDiskFull, digestFile } from '../host/files.ts';
import type { SavedMachines } from '../machine/saved-machines.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { Machines, NodeHandle } from '../machine/types.ts';
import { digestChunks } from './chunks.ts';
import { keepChunks } from './kept.ts';
import { machineSpecs, requireVms, snapshotsOf } from './only-vms.ts';
import type { SnapshotPorts } from './ports.ts';
import { SNAPSHOT_FOLDER } from './reaper.ts';
import { guestsBy, type Guests } from './guests.ts';
import { untilAllDue, untilBetweenRenewals } from './instant-of-save.ts';
import { removeUnusedOf } from './remove.ts';
import { LAYOUT, type OutsideFile, type SavedFile, type SnapshotRecord } from './record.ts';
import { snapshotId } from './store.ts';
import { rememberRight } from './verify.ts';

export interface SaveRequest {
  /** Of the snapshot; undefined: that of the cluster and the time. */
  readonly name?: string | undefined;
  /** Shuts the cluster down after that. */
  readonly stop: boolean;
  /** Digest of all that went into the cluster. */
  readonly key?: Digest;
  /** For clusters that are made of it at once: it has no kept form, and the cluster does not go back to it. */
  readonly passing?: boolean;
}

/**
 * Saves a cluster as it runs. It stands still for a moment and goes on as the first child of its snapshot; what takes time, such as
 * digests, comes after that.
 *
 * @throws KvciError `not-virtual-machines`, `snapshot-exists`, `cluster-not-found`, `cluster-half-made`, `cluster-stopped`, `disk-full`
 */
export async function saveSnapshot(cluster: string, request: SaveRequest, ports: SnapshotPorts, run: RunContext): Promise<SnapshotRecord> {
  await using _lock = await lockCluster(cluster, ports, run);
  const state = await requireCluster(cluster, ports.states);
  requireVms(state);
  requireMade(state);
  const { stop, key, passing = false } = request;
  const { signal, clock } = run;
  const name = parseName(request.name ?? defaultName(state.name, clock.now()), 'name of a snapshot');
  await using _name = await ports.locks.exclusive(ports.snapshots.lock(name), { signal });
  if ((await ports.snapshots.names()).includes(name)) throw exists(name);
  const kubeconfig = await kubeconfigOf(state.name, ports);
  const id = snapshotId();
  const folder = ports.snapshots.folder({ name, id });
  await mkdir(ports.snapshots.files, { recursive: true, mode: 0o700 });
  await using _entry = await ports.ledger.enter(SNAPSHOT_FOLDER, { folder, name });
  const guests = guestsBy(ports.templates);
  let record: SnapshotRecord | undefined;
  await using provider = await ports.provider(state.provider, state.engine, run);
  await workOn(state, provider, ports, run, 'snapshot save', async ({ cluster, machines }) => {
    const snapshots = snapshotsOf(state, machines);
    await using undo = new AsyncDisposableStack();
    // The cluster goes on, also where it was that which took the last room on the disk.
    undo.defer(async () => {
      await snapshots.recover(AbortSignal.timeout(BESIDE_MS)).catch((error: unknown) => {
        run.events({ type: 'problem', level: 'warning', message: `after the save that failed: ${messageOf(error)}` });
      });
    });
    undo.defer(async () => {
      await ports.snapshots.remove(name, id);
      if (record !== undefined) await removeUnusedOf(record, ports);
    });
    const nodes = await cluster.step('prepare', 'nodes, for what they go on with', undefined, () =>
      prepare(state, machines, guests, signal),
    );
    const saved = await cluster.step('save', 'memory, devices and disks of all nodes', undefined, async () => {
      try {
        return await snapshots.save(folder, machineSpecs(state), () => untilGoodInstant(nodes, guests, kubeconfig, ports, run), signal);
      } finally {
        await letAllGo(nodes, guests);
      }
    });
    record = await cluster.step('digest', 'digests', undefined, async () => {
      const { owner: _owner, steps: _steps, ...rest } = cluster.state;
      const made: SnapshotRecord = {
        ...{ layout: LAYOUT, name, id, createdAt: new Date(clock.now()).toISOString() },
        ...(key === undefined ? {} : { key }),
        cluster: { ...rest, steps: [] },
        kubeconfig,
        machines: saved,
        ...(await digests(folder, saved, signal)),
      };
      await rememberRight(folder, [...made.files.map(({ path }) => path), ...saved.files]);
      return made;
    });
    const made = record;
    await cluster.step('keep', 'compressed chunks', undefined, async () => {
      await using _chunks = await ports.locks.exclusive(ports.snapshots.chunksLock, { signal });
      try {
        if (!passing) await keepChunks(ports.snapshots.chunks, folder, made.files, signal);
        await ports.snapshots.write(made);
      } catch (error) {
        throw asDiskFull(error, folder);
      }
      // From here on it is whole.
      undo.move();
    });
    const { signal: whole } = new AbortController();
    if (passing) {
      await snapshots.recover(whole);
    } else {
      await snapshots.adopt(folder, saved, whole);
      await cluster.update({ snapshot: { name, id } });
    }
    if (stop) await stopNodes(cluster, machines);
  });
  if (record === undefined) throw new KvciError('bug', 'no-record', 'a snapshot without a record');
  return record;
}

/** How long the API, a node or a monitor may take to answer beside a save; where it does not, the save goes on without it. */
const BESIDE_MS = 20_000;

/** Readies nodes for going on later. Whoever saves them has their monitors: nobody enters them until that is done. */
async function prepare({ nodes }: ClusterState, machines: Machines, guests: Guests, signal: AbortSignal): Promise<readonly NodeHandle[]> {
  return Promise.all(
    nodes.map(async ({ name }) => {
      const node = await machines.node(name, signal);
      await guests.ready(node, signal);
      return node;
    }),
  );
}

/** Waits for an instant after which the leases of all nodes are renewed at once, as soon as kubelets are let go. */
async function untilGoodInstant(
  nodes: readonly NodeHandle[],
  guests: Guests,
  kubeconfig: string,
  ports: Pick<SnapshotPorts, 'api'>,
  run: RunContext,
): Promise<void> {
  const { clock, signal } = run;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(BESIDE_MS)]);
  const api = await ports.api(kubeconfig);
  let now: ReadonlyMap<string, number> = new Map();
  await besides(
    api.untilNodeLeases((leases) => (now = leases).size > 0, limit),
    signal,
  );
  const renewed = await allOf(
    nodes.map(async (node) => {
      const time = now.get(node.name);
      const last = time === undefined ? undefined : await betweenRenewals(node.name, time, api, limit, run);
      await guests.hold(node, signal);
      return last;
    }),
  );
  const known = renewed.filter((time) => time !== undefined);
  await clock.wait(untilAllDue(known, clock.now()), signal);
}

/**
 * Waits until a kubelet is not about to renew its lease: what it asks of the API, and is not answered before it is held back, fails once
 * it goes on, and is asked again. Answers when it has renewed the lease last.
 */
async function betweenRenewals(
  node: string,
  renewed: number,
  api: KubernetesApi,
  limit: AbortSignal,
  { clock, signal }: RunContext,
): Promise<number> {
  let last = renewed;
  const next = async (): Promise<void> => {
    if (untilBetweenRenewals(last, clock.now()) === undefined) {
      await api.untilNodeLeases((leases) => (last = leases.get(node) ?? last) > renewed, limit);
    }
    await clock.wait(untilBetweenRenewals(last, clock.now()) ?? 0, limit);
  };
  await besides(next(), signal);
  return last;
}

/** An API that does not answer in time keeps nobody from saving the cluster. */
async function besides(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  await work.catch(() => {
    throwIfCancelled(signal);
  });
}

/** Also after a save that failed or was cancelled; a node that cannot be reached does it by itself. */
async function letAllGo(nodes: readonly NodeHandle[], guests: Guests): Promise<void> {
  const signal = AbortSignal.timeout(BESIDE_MS);
  await Promise.allSettled(nodes.map((node) => guests.letGo(node, signal)));
}

async function digests(
  folder: string,
  { files: outsideFiles, machines }: SavedMachines,
  signal: AbortSignal,
): Promise<{ files: SavedFile[]; outside: OutsideFile[] }> {
  const files: SavedFile[] = [];
  try {
    for (const node of Object.keys(machines).toSorted()) {
      for (const file of (await readdir(join(folder, node))).toSorted()) {
        const path = `${node}/${file}`;
        const { size } = await stat(join(folder, path));
        const extents = file === 'memory' ? machines[node]?.extents : undefined;
        files.push({ path, size, chunks: await digestChunks(join(folder, path), size, extents, signal) });
        await onDisk(join(folder, path));
      }
    }
    const outside = await Promise.all(outsideFiles.map(async (path) => ({ path, ...(await digestFile(path)) })));
    return { files, outside };
  } catch (error) {
    throw asDiskFull(error, folder);
  }
}

/** What is only in the host's memory is lost in a crash, whatever the record says. */
async function onDisk(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}

/** `lab-20261122-101500`, in UTC. */
export function defaultName(cluster: string, now: number): string {
  const [date = '', time = ''] = new Date(now).toISOString().split('T');
  return `${cluster}-${date.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}`;
}

function exists(name: string): KvciError {
  return new KvciError('notFoundOrExists', 'snapshot-exists', `there is a snapshot "${name}" already`, {
    hint: `Give this one another name with --name, or remove that one: "kvci snapshot rm ${name}".`,
    facts: { snapshot: name },
  });
}
