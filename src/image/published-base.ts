import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext, Step } from '../core/plan.ts';
import { runStep } from '../core/plan.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact } from '../host/types.ts';
import { imageTree, layersOf, readFile, readImageAt } from '../oci/image.ts';
import { parseReference } from '../oci/reference.ts';
import { pullImage } from '../oci/registry-transfer.ts';
import { descriptorSchema, layerSchema } from '../oci/schemas.ts';
import type { Descriptor, Layer } from '../oci/types.ts';
import type { Architecture } from '../payload/types.ts';
import type { ImagePorts } from './ports.ts';

const KIND = 'base-layers';

/** Raise when the same base gives other blobs. */
const FORMAT = 1;

/** An image of a registry that a node image starts from. */
export interface PublishedBase {
  readonly kind: 'published';
  readonly ref: string;
  readonly digest: Digest;
}

/** The layers that a node image starts with, in a layout of their own. */
export interface BaseLayers {
  readonly folder: string;
  readonly layers: readonly Layer[];
}

const factsSchema = z.object({ layers: z.array(layerSchema), image: descriptorSchema });
type PulledFacts = z.output<typeof factsSchema>;

/** What FROM names, by digest alone: a tag may move. */
export function pinnedReference({ ref, digest }: PublishedBase): string {
  const { registry, repository } = parseReference(ref);
  return `${registry}/${repository}@${digest}`;
}

export function publishedBaseKey(digest: Digest, architecture: Architecture): Digest {
  return digestOf({ image: digest, architecture, format: FORMAT });
}

/** The step that pulls a published base, its blobs as they are, so that node images share them with everything else made of it. */
export function publishedBaseStep(
  base: PublishedBase,
  architecture: Architecture,
  ports: ImagePorts,
): Step<BaseLayers & { readonly image: Descriptor }> {
  const key = publishedBaseKey(base.digest, architecture);
  const answer = (artifact: Artifact): BaseLayers & PulledFacts => ({
    folder: `${artifact.path}/layout`,
    ...factsOf(artifact, factsSchema),
  });
  return {
    id: 'base',
    title: `base image ${base.ref}`,
    why: 'it is not here yet',
    find: async () => {
      const found = await ports.store.find(KIND, key);
      return found === undefined ? undefined : answer(found);
    },
    make: async (context) => {
      const registry = await ports.registry();
      const made = await ports.store.make({
        kind: KIND,
        key,
        inputs: { ref: base.ref, digest: base.digest },
        title: `base image ${base.ref}`,
        signal: context.signal,
        onWait: () => {
          context.output('another kvci pulls it: waiting');
        },
        build: async (folder): Promise<PulledFacts> => {
          const layout = await ports.layoutIn(`${folder}/layout`);
          const descriptor = await pullImage(registry, layout, parseReference(pinnedReference(base)), {
            architecture,
            signal: context.signal,
            onProgress: (done, total) => {
              context.progress(done, total, 'bytes', 'layers');
            },
          });
          const image = await readImageAt(layout, descriptor, architecture);
          return { layers: layersOf(image), image: image.descriptor };
        },
      });
      return answer(made);
    },
  };
}

/**
 * The os-release of somebody's own image.
 *
 * @throws KvciError `base-without-system`
 */
export async function readOsRelease(base: PublishedBase, architecture: Architecture, ports: ImagePorts, run: RunContext): Promise<string> {
  const { folder, image } = await runStep(publishedBaseStep(base, architecture, ports), run);
  const layout = await ports.layoutIn(folder);
  const tree = await imageTree(layout, await readImageAt(layout, image));
  const text = (await readFile(layout, tree, 'usr/lib/os-release')) ?? (await readFile(layout, tree, 'etc/os-release'));
  if (text === undefined || !tree.nodes.has('usr/lib/systemd/systemd')) {
    throw new KvciError(
      'usage',
      'base-without-system',
      `${base.ref} is no system that boots: it has no ${text === undefined ? 'os-release' : 'systemd'}`,
      {
        hint: 'Use a bootc image, or an image with systemd and a package manager.',
        facts: { ref: base.ref },
      },
    );
  }
  return text.toString('utf8');
}
