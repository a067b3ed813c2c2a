import type { Digest } from '../../core/digest.ts';
import { hasErrno, KvciError } from '../../core/errors.ts';
import { notRemoved, type SweepResult } from '../../host/sweep.ts';
import type { ContainerEngine } from '../../host/types.ts';
import type { HostEngines } from './host-engines.ts';
import { removeUnusedImages } from './host-images.ts';
import { OWNER_LABEL, RUN_LABEL } from './labels.ts';
import { type Claim, type LostPlace, removeLostClusters } from './lost-clusters.ts';
import { PROBE_RUN, probeImage } from './node-probe.ts';

export interface HostEngineParts {
  readonly engines: HostEngines;
  readonly connect: (socket: string) => Promise<LostPlace['containers']>;
  readonly exists: (path: string) => boolean;
  /** As {@link removeLostClusters} takes it. */
  readonly claim: (cluster: string) => Promise<Claim | undefined>;
  readonly connectImages: (socket: string) => Promise<Pick<ContainerEngine, 'images' | 'remove'> & AsyncDisposable>;
  /** Node images of clusters that are known and in the engine; undefined where some cluster cannot be read. */
  readonly needed: (socket: string) => Promise<readonly Digest[] | undefined>;
  readonly signal?: AbortSignal;
}

/**
 * Removes what lost clusters left in engines of the host: only what this state directory has made there. An engine in which nothing
 * is any more is forgotten, after the images that nobody needs there; one that does not run is asked when it does again.
 */
export async function removeLostInHostEngines(parts: HostEngineParts): Promise<SweepResult> {
  const { engines, connect, connectImages, exists, claim, needed, signal } = parts;
  const known = await engines.read();
  const removed: string[] = [];
  const failed: SweepResult['failed'][number][] = [];
  for (const { socket } of known?.engines ?? []) {
    if (known === undefined || !exists(socket)) continue;
    try {
      const labels = { [OWNER_LABEL]: known.owner };
      const containers = await connect(socket);
      const nothing = (): Promise<void> => Promise.resolve();
      const result = await removeLostClusters({ containers, labels, endForwards: nothing, sweep: nothing }, claim, signal);
      removed.push(...result.removed);
      failed.push(...result.failed);
      await using images = await connectImages(socket);
      await removeProbes(engines, containers, images, known.owner);
      const digests = await needed(socket);
      if (digests !== undefined) removed.push(...(await removeUnusedImages(images, digests)).map((tag) => `image ${tag}`));
      const left = await Promise.all([containers.list(labels), containers.volumes(labels), containers.networks(labels)]);
      if (left.flat().length === 0) await engines.forget(socket, async () => (await needed(socket))?.length !== 0);
    } catch (error) {
      if (isDown(error)) continue;
      failed.push(notRemoved(`nodes of lost clusters in the engine at ${socket}`, error));
    }
  }
  return { removed, failed };
}

/** One that does not run; whoever may not ask it is told. */
function isDown(error: unknown): boolean {
  return error instanceof KvciError && error.code === 'engine-unreachable' && !hasErrno(error.cause, 'EACCES');
}

/** What a kvci that was killed while it asked has left. */
async function removeProbes(
  engines: HostEngines,
  containers: LostPlace['containers'],
  images: Pick<ContainerEngine, 'remove'>,
  owner: string,
): Promise<void> {
  await using held = await engines.tryHoldProbes();
  if (held === undefined) return;
  for (const { id } of await containers.list({ [OWNER_LABEL]: owner, [RUN_LABEL]: PROBE_RUN })) await containers.remove(id);
  await images.remove(probeImage(owner));
}
