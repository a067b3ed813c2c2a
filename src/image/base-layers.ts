import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest, shortDigest } from '../core/digest.ts';
import type { Step, StepContext } from '../core/plan.ts';
import { BASE_TAR, debianBaseKey, debianLayout, makeDebianBase } from '../distro/debian-base.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ContainerEngine } from '../host/types.ts';
import { putBlob } from '../oci/blobs.ts';
import { compress, LAYER_MEDIA_TYPES } from '../oci/compression.ts';
import { describeLayer, openLayer } from '../oci/layer.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { layerSchema } from '../oci/schemas.ts';
import type { Layer } from '../oci/types.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import type { Architecture } from '../payload/types.ts';
import type { ImageInputs } from './inputs.ts';
import type { ImagePorts } from './ports.ts';
import {
  type BaseLayers,
  pinnedReference,
  provideBase,
  type PublishedBase,
  publishedBaseKey,
  publishedBaseStep,
} from './published-base.ts';
import type { NodeSources } from './sources.ts';

const KIND = 'debian-base-layer';

/** Raise when the same base gives another blob. */
const FORMAT = 1;

const factsSchema = z.object({ layer: layerSchema });

/** The base of an image: what its Containerfile's FROM names, and its layers. */
export interface Base {
  readonly key: Digest;
  /** What FROM names. */
  readonly from: string;
  readonly step: Step<BaseLayers>;
  /** Makes sure that the engine has what FROM names. */
  readonly provide: (engine: ContainerEngine, layers: BaseLayers, context: StepContext) => Promise<void>;
}

/** The base as the inputs have it. */
export function baseOf({ base, distribution, architecture }: ImageInputs, sources: NodeSources, ports: ImagePorts): Base {
  return base.kind === 'debian' ? debianBase(base.set, distribution.title, sources, ports) : publishedBase(base, architecture, ports);
}

function debianBase(set: DebianPackageSet, distribution: string, sources: NodeSources, ports: ImagePorts): Base {
  const layout = debianLayout(sources.node);
  const key = digestOf({ base: debianBaseKey(set, layout), format: FORMAT });
  const from = `localhost/kvci/base:${shortDigest(key)}`;
  return {
    key,
    from,
    step: debianLayerStep(
      ports,
      key,
      `${distribution} base, ${set.architecture}, ${set.packages.length} packages`,
      async (target, context) => {
        await using debian = await ports.debian(context.signal, context.output);
        const repository = await ports.debianRepository(set, debian, (done, total) => {
          context.progress(done, total, 'bytes', 'Debian packages');
        });
        const made = await makeDebianBase(set, layout, { store: ports.store, host: debian, repository });
        const layer = await packedLayer(target, createReadStream(join(made.path, BASE_TAR)));
        // The blob has it all: the engine gets it unpacked from there.
        await ports.store.remove(made);
        return layer;
      },
    ),
    provide: async (target, { folder, layers }, context) => {
      const [layer] = layers;
      if (layer === undefined || (await target.hasImage(from))) return;
      context.output(`importing ${from}`);
      await target.importRoot(await openLayer({ path: folder }, layer.descriptor), from, context.signal);
    },
  };
}

function publishedBase(base: PublishedBase, architecture: Architecture, ports: ImagePorts): Base {
  return {
    key: publishedBaseKey(base.digest, architecture),
    from: pinnedReference(base),
    step: publishedBaseStep(base, architecture, ports),
    provide: (target, layers, context) => provideBase(base, layers, target, ports, context),
  };
}

/** A tar as a compressed layer, its bytes unchanged. */
async function packedLayer(layout: ImageLayout, tar: Parameters<typeof compress>[0]): Promise<Layer> {
  const blob = await putBlob(layout, compress(tar, 'zstd'));
  return describeLayer(layout, { mediaType: LAYER_MEDIA_TYPES.zstd, ...blob });
}

function debianLayerStep(
  ports: ImagePorts,
  key: Digest,
  title: string,
  make: (layout: ImageLayout, context: StepContext) => Promise<Layer>,
): Step<BaseLayers> {
  const answer = (artifact: Artifact): BaseLayers => ({
    folder: join(artifact.path, 'layout'),
    layers: [factsOf(artifact, factsSchema).layer],
  });
  return {
    id: 'base',
    title,
    why: 'its packages or layout changed',
    find: async () => {
      const found = await ports.store.find(KIND, key);
      return found === undefined ? undefined : answer(found);
    },
    make: async (context) =>
      answer(
        await ports.store.make({
          kind: KIND,
          key,
          inputs: { key },
          title,
          signal: context.signal,
          onWait: () => {
            context.output('another kvci makes it: waiting');
          },
          build: async (folder) => ({ layer: await make(await ports.layoutIn(join(folder, 'layout')), context) }),
        }),
      ),
  };
}
