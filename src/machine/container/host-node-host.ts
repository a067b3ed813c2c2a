import type { Containers } from '../../host/engine/containers.ts';
import type { ContainerEngine } from '../../host/types.ts';
import { saveArchive } from '../../oci/archive-save.ts';
import type { ImageLayout } from '../../oci/layout.ts';
import { requireManifest } from '../../oci/manifests.ts';
import { hostForwards, type HostForwardsParts } from './host-forwards.ts';
import { nodeImageName } from './host-images.ts';
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
}

/** An engine of the host, Docker or Podman: others use it too, and its networks are the host's own. */
export function hostNodeHost({ engine, containers, layout, modules, balancerRoot, owner }: HostNodeHostParts): NodeHost {
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
      onLine(`loading ${nodeImageName(image)} into ${containers.info.name}`);
      // Docker before 23 reads no zstd, and unpacks at once whatever it gets.
      const layers = containers.info.name === 'podman' ? 'as-is' : 'none';
      await engine.load(saveArchive(store, manifest, { refs: [nodeImageName(image)], layers }), signal);
    },
    // Which ranges are taken only the engine knows: it refuses those that are.
    takenRanges: () => Promise.resolve([]),
    publishes: true,
    binds: modules ? [{ host: '/lib/modules', inside: '/lib/modules' }] : [],
    limits: true,
    sweep: () => Promise.resolve(),
    forwards: (spec) => hostForwards({ engine, containers, balancerRoot, labels }, spec),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
