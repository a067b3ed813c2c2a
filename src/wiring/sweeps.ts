import { existsSync } from 'node:fs';

import type { ClusterStates } from '../cluster/state.ts';
import type { Digest } from '../core/digest.ts';
import { type EngineAddress, sameEngine } from '../host/engine/endpoint.ts';
import type { Sweep, SweepResult } from '../host/sweep.ts';
import type { Claim } from '../machine/container/lost-clusters.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import type { HostParts } from './host.ts';
import { ownEngine, sshForwards } from './machines.ts';

const NOTHING: SweepResult = { removed: [], failed: [] };
const ENGINE = "kvci's engine for nodes that are containers";

/**
 * What `prune` takes away beside what the ledger and the store know of: nodes of clusters whose state is lost, an engine whose last
 * node is gone, what is left of machines. A cluster that somebody works on is theirs.
 */
export async function hostSweeps(host: HostParts, sandboxes: Sandboxes): Promise<readonly Sweep[]> {
  const { systemClock } = await import('../host/clock.ts');
  const { endUnusedNodeEngine, findNodeEngine } = await import('../sandbox/node-engine.ts');
  const { recordPath } = await import('../sandbox/node-engine-record.ts');
  const { connectContainers } = await import('../host/adapters/dockerode-containers.ts');
  const { connectNodesEngine } = await import('./connect-engine.ts');
  const { ClusterStates } = await import('../cluster/state.ts');
  const { claimCluster } = await import('../cluster/claim-cluster.ts');
  const { ownPlace } = await import('../machine/container/own-node-host.ts');
  const { HostEngines } = await import('../machine/container/host-engines.ts');
  const { removeLostInHostEngines } = await import('../machine/container/lost-in-host-engines.ts');
  const { removeLostClusters } = await import('../machine/container/lost-clusters.ts');
  const { removeLostForwards } = await import('../machine/container/lost-forwards.ts');
  const { removeEndedVms } = await import('../machine/qemu/reaper.ts');
  const { removeUnusedChunks } = await import('../snapshot/remove.ts');
  const { SnapshotStore } = await import('../snapshot/store.ts');
  const { formatSize } = await import('../core/sizes.ts');
  const { removeLostVms } = await import('../machine/qemu/lost-vms.ts');
  const parts = { ...host, sandboxes, clock: systemClock, connect: ownEngine(connectContainers) };
  const { releaseRegistry } = await import('../cluster/registries.ts');
  const { localRegistry } = await import('./registry.ts');
  const registry = () => Promise.resolve(localRegistry(host, sandboxes));
  const states = new ClusterStates(host.directories);
  const claim = (cluster: string): Promise<Claim | undefined> => claimCluster(cluster, { ...host, states });
  const removeLost = async (signal: AbortSignal): Promise<SweepResult> => {
    await using engine = await findNodeEngine(parts, signal);
    return engine === undefined ? NOTHING : await removeLostClusters(ownPlace(engine), claim, signal);
  };
  const endUnused = async (): Promise<SweepResult> => {
    await endUnusedNodeEngine(parts, async () => (await imagesIn(undefined, states))?.length !== 0);
    return NOTHING;
  };
  /** Whoever lets go of the engine as the last one ends it, too. */
  const orEngine = async (sweep: () => Promise<SweepResult>): Promise<SweepResult> => {
    const isThere = (): boolean => existsSync(recordPath(host.directories));
    const before = isThere();
    const { removed, failed } = await sweep();
    return { removed: [...removed, ...(before && !isThere() ? [ENGINE] : [])], failed };
  };
  return [
    // Before the containers beside them: the engine ends with the last of those.
    { what: 'virtual machines of lost clusters', sweep: () => removeLostVms({ ...host, sandboxes }, claim) },
    { what: "nodes of lost clusters in kvci's engine", sweep: (signal) => orEngine(() => removeLost(signal)) },
    { what: ENGINE, sweep: () => orEngine(endUnused) },
    {
      what: 'what leads by ssh to lost clusters',
      sweep: async (signal) => removeLostForwards(await sshForwards(host), claim, signal),
    },
    {
      what: 'nodes of lost clusters in other engines',
      sweep: (signal) =>
        removeLostInHostEngines({
          engines: new HostEngines(host.directories, host.locks),
          connect: async (address) => {
            const nodes = await connectNodesEngine({ address, origin: 'an engine that nodes were in' }, host);
            return { ...nodes, images: nodes.engine };
          },
          exists: existsSync,
          claim,
          needed: (address) => imagesIn(address, states),
          signal,
        }),
    },
    {
      what: 'the registry of clusters that are gone',
      sweep: async () => ({ removed: (await releaseRegistry({ registry, states })) ? ['the registry beside clusters'] : [], failed: [] }),
    },
    {
      what: 'chunks of snapshots that are gone',
      sweep: async () => {
        const freed = await removeUnusedChunks(new SnapshotStore(host.directories), host.locks, systemClock.now());
        return { removed: freed === 0 ? [] : [`${formatSize(freed)} of snapshots that are gone`], failed: [] };
      },
    },
    { what: 'what is left of machines', sweep: () => removeEndedVms(host.directories, sandboxes) },
  ];
}

/** Node images of clusters that are known and in an engine; kvci's own without one. Undefined where that cannot be told. */
async function imagesIn(engine: EngineAddress | undefined, states: ClusterStates): Promise<readonly Digest[] | undefined> {
  const found = await Promise.all((await states.names()).map((name) => states.find(name).catch(() => 'unreadable' as const)));
  if (found.includes('unreadable')) return undefined;
  return found.flatMap((state) =>
    typeof state === 'object' && state.provider !== 'vm' && sameEngine(state.engine, engine) ? [state.image.digest] : [],
  );
}
