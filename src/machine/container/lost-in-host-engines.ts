import type { Digest } from '../../core/digest.ts';
import { hasErrno, KvciError, messageOf } from '../../core/errors.ts';
import { type EngineAddress, showAddress } from '../../host/engine/endpoint.ts';
import { notRemoved, type SweepResult } from '../../host/sweep.ts';
import type { ContainerEngine } from '../../host/types.ts';
import type { HostEngines } from './host-engines.ts';
import { removeUnusedImages } from './host-images.ts';
import { OWNER_LABEL, RUN_LABEL } from './labels.ts';
import { type Claim, type LostPlace, removeLostClusters } from './lost-clusters.ts';
import { PROBE_RUN, probeImage } from './node-probe.ts';

/** What an engine is asked. */
export interface LostEngine extends AsyncDisposable {
  readonly containers: LostPlace['containers'];
  readonly images: Pick<ContainerEngine, 'images' | 'remove'>;
}

export interface HostEngineParts {
  readonly engines: HostEngines;
  readonly connect: (address: EngineAddress) => Promise<LostEngine>;
  readonly exists: (path: string) => boolean;
  /** As {@link removeLostClusters} takes it. */
  readonly claim: (cluster: string) => Promise<Claim | undefined>;
  /** Node images of clusters that are known and in the engine; undefined where some cluster cannot be read. */
  readonly needed: (address: EngineAddress) => Promise<readonly Digest[] | undefined>;
  readonly signal?: AbortSignal;
}

/**
 * Removes what lost clusters left in engines other than kvci's own: only what this state directory has made there. An engine in which nothing
 * is any more is forgotten, after the images that nobody needs there; one that is not reached is named, and asked when it is again.
 */
export async function removeLostInHostEngines(parts: HostEngineParts): Promise<SweepResult> {
  const { engines, connect, exists, claim, needed, signal } = parts;
  const known = await engines.read();
  const removed: string[] = [];
  const failed: SweepResult['failed'][number][] = [];
  const unseen: string[] = [];
  for (const { address } of known?.engines ?? []) {
    if (known === undefined) continue;
    if (address.transport === 'unix' && !exists(address.path)) {
      unseen.push(notAsked(address, 'there is no such socket'));
      continue;
    }
    try {
      const labels = { [OWNER_LABEL]: known.owner };
      await using engine = await connect(address);
      const { containers, images } = engine;
      const nothing = (): Promise<void> => Promise.resolve();
      const result = await removeLostClusters({ containers, labels, endForwards: nothing, sweep: nothing }, claim, signal);
      removed.push(...result.removed);
      failed.push(...result.failed);
      await removeProbes(engines, containers, images, known.owner);
      const digests = await needed(address);
      if (digests !== undefined) removed.push(...(await removeUnusedImages(images, digests)).map((tag) => `image ${tag}`));
      const left = await Promise.all([containers.list(labels), containers.volumes(labels), containers.networks(labels)]);
      if (left.flat().length === 0) await engines.forget(address, async () => (await needed(address))?.length !== 0);
    } catch (error) {
      if (isDown(error)) unseen.push(notAsked(address, messageOf(error)));
      else failed.push(notRemoved(`nodes of lost clusters in the engine at ${showAddress(address)}`, error));
    }
  }
  return { removed, failed, unseen };
}

function notAsked(address: EngineAddress, why: string): string {
  return `the engine at ${showAddress(address)}, which nodes were in, was not asked whether some are left: ${why}`;
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
