import type { Digest } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { Containers } from '../../host/engine/containers.ts';
import type { ContainerEngine, EngineInfo } from '../../host/types.ts';
import { saveArchive } from '../../oci/archive-save.ts';
import { readImage } from '../../oci/image.ts';
import type { ImageLayout } from '../../oci/layout.ts';
import { requireManifest } from '../../oci/manifests.ts';
import { hostForwards, type HostForwardsParts } from './host-forwards.ts';
import { nodeImageName } from './host-images.ts';
import type { HostWays } from './host-ways.ts';
import { OWNER_LABEL } from './labels.ts';
import type { NodeHost } from './node-host.ts';

export interface HostNodeHostParts {
  readonly engine: ContainerEngine;
  /** Of the same engine. */
  readonly containers: Containers;
  readonly layout: () => Promise<ImageLayout>;
  /** Whether the engine's host, which may be another one, has kernel modules at their usual place. */
  readonly modules: boolean;
  /** What the load balancer of a cluster is made of. */
  readonly balancerRoot: HostForwardsParts['balancerRoot'];
  /** What tells this user's things in the engine from those of others. Asked only when something is about to be made. */
  readonly owner: () => Promise<string>;
  /** Where nodes publish ports, and how this host gets there. */
  readonly ways: HostWays;
}

/** An engine of this host or of another, Docker or Podman: others use it too, and its networks are that host's own. */
export function hostNodeHost({ engine, containers, layout, modules, balancerRoot, owner, ways }: HostNodeHostParts): NodeHost {
  const labels: NodeHost['labels'] = async () => ({ [OWNER_LABEL]: await owner() });
  return {
    containers,
    own: false,
    labels,
    imageName: nodeImageName,
    hasImage: (image) => engine.hasImage(nodeImageName(image)),
    bringImage: async (image, onLine, signal) => {
      const store = await layout();
      const manifest = await requireManifest(store, image);
      refuseOther((await readImage(store, image)).config.architecture, image, containers.info);
      onLine(`loading ${nodeImageName(image)} into ${containers.info.name}`);
      // Docker before 23 reads no zstd, and unpacks at once whatever it gets.
      const layers = containers.info.name === 'podman' ? 'as-is' : 'none';
      await engine.load(saveArchive(store, manifest, { refs: [nodeImageName(image)], layers }), signal);
    },
    // Which ranges are taken only the engine knows: it refuses those that are.
    takenRanges: () => Promise.resolve([]),
    publishAt: ways.publishAt,
    binds: modules ? [{ host: '/lib/modules', inside: '/lib/modules' }] : [],
    limits: true,
    sweep: () => Promise.resolve(),
    forwards: (spec) => ways.lead(hostForwards({ engine, containers, balancerRoot, labels, publishAt: ways.publishAt }, spec), spec),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** @throws KvciError `platform-missing` */
function refuseOther(architecture: string, image: Digest, engine: EngineInfo): void {
  if (architecture === engine.architecture) return;
  throw new KvciError(
    'notFoundOrExists',
    'platform-missing',
    `the node image ${image} is for ${architecture}, and ${engine.name} (${engine.origin}) runs on ${engine.architecture}`,
    {
      hint: `Build one for it: kvci image build --arch ${engine.architecture}`,
      facts: { image, architecture, wanted: engine.architecture },
    },
  );
}
