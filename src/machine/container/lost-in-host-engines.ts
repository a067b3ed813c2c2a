import type { Labels } from '../../host/engine/containers.ts';
import { notRemoved, type SweepResult } from '../../host/sweep.ts';
import type { HostEngines } from './host-engines.ts';
import { OWNER_LABEL, RUN_LABEL } from './labels.ts';
import { type Claim, type LostPlace, removeLostClusters } from './lost-clusters.ts';
import { PROBE_RUN } from './node-probe.ts';

export interface HostEngineParts {
  readonly engines: HostEngines;
  readonly connect: (socket: string) => Promise<LostPlace['containers']>;
  readonly exists: (path: string) => boolean;
  /** As {@link removeLostClusters} takes it. */
  readonly claim: (cluster: string) => Promise<Claim | undefined>;
  /** Whether a cluster that is known is in the engine. */
  readonly isUsed: (socket: string) => Promise<boolean>;
}

/**
 * Removes what lost clusters left in engines of the host: only what this state directory has made there. An engine in which nothing
 * is any more is forgotten; one that does not run is asked when it does again.
 */
export async function removeLostInHostEngines({ engines, connect, exists, claim, isUsed }: HostEngineParts): Promise<SweepResult> {
  const known = await engines.read();
  const removed: string[] = [];
  const failed: SweepResult['failed'][number][] = [];
  for (const { socket } of known?.engines ?? []) {
    if (known === undefined || !exists(socket)) continue;
    try {
      const labels = { [OWNER_LABEL]: known.owner };
      const containers = await connect(socket);
      const nothing = (): Promise<void> => Promise.resolve();
      const result = await removeLostClusters({ containers, labels, endForwards: nothing, sweep: nothing }, claim);
      removed.push(...result.removed);
      failed.push(...result.failed);
      await removeProbes(engines, containers, labels);
      const left = await Promise.all([containers.list(labels), containers.volumes(labels), containers.networks(labels)]);
      if (left.flat().length === 0) await engines.forget(socket, () => isUsed(socket));
    } catch (error) {
      failed.push(notRemoved(`nodes of lost clusters in the engine at ${socket}`, error));
    }
  }
  return { removed, failed };
}

/** What a kvci that was killed while it asked has left. */
async function removeProbes(engines: HostEngines, containers: LostPlace['containers'], labels: Labels): Promise<void> {
  await using held = await engines.tryHoldProbes();
  if (held === undefined) return;
  for (const { id } of await containers.list({ ...labels, [RUN_LABEL]: PROBE_RUN })) await containers.remove(id);
}
