import { existsSync } from 'node:fs';

import type { ClusterStates } from '../cluster/state.ts';
import { type Sweep, sweepOf, type SweepResult } from '../host/sweep.ts';
import type { Claim } from '../machine/container/lost-clusters.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import type { HostParts } from './host.ts';
import { ownEngine } from './machines.ts';

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
  const { ClusterStates } = await import('../cluster/state.ts');
  const { claimCluster } = await import('../cluster/claim-cluster.ts');
  const { ownPlace } = await import('../machine/container/own-node-host.ts');
  const { HostEngines } = await import('../machine/container/host-engines.ts');
  const { removeLostInHostEngines } = await import('../machine/container/lost-in-host-engines.ts');
  const { removeLostClusters } = await import('../machine/container/lost-clusters.ts');
  const { removeEndedVms } = await import('../machine/qemu/reaper.ts');
  const { removeLostVms } = await import('../machine/qemu/lost-vms.ts');
  const parts = { ...host, sandboxes, clock: systemClock, connect: ownEngine(connectContainers) };
  const states = new ClusterStates(host.directories);
  const claim = (cluster: string): Promise<Claim | undefined> => claimCluster(cluster, { ...host, states });
  const removeLost = async (): Promise<SweepResult> => {
    await using engine = await findNodeEngine(parts, host.signal);
    return engine === undefined ? NOTHING : await removeLostClusters(ownPlace(engine), claim);
  };
  const endUnused = async (): Promise<SweepResult> => {
    await endUnusedNodeEngine(parts, () => isIn(undefined, states));
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
    { what: "nodes of lost clusters in kvci's engine", sweep: () => orEngine(removeLost) },
    { what: ENGINE, sweep: () => orEngine(endUnused) },
    {
      what: 'nodes of lost clusters in engines of this host',
      sweep: () =>
        removeLostInHostEngines({
          engines: new HostEngines(host.directories, host.locks),
          connect: (path) => connectContainers({ address: { transport: 'unix', path }, origin: 'an engine that nodes were in' }),
          exists: existsSync,
          claim,
          isUsed: (socket) => isIn(socket, states),
        }),
    },
    sweepOf('what is left of machines', () => removeEndedVms(host.directories, sandboxes)),
  ];
}

/** Whether a cluster that is known may be in an engine, by its socket; undefined for kvci's own. */
async function isIn(engine: string | undefined, states: ClusterStates): Promise<boolean> {
  const found = await Promise.all((await states.names()).map((name) => states.find(name).catch(() => 'unreadable' as const)));
  return found.some((state) => state === 'unreadable' || (state !== undefined && state.provider !== 'vm' && state.engine === engine));
}
