import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext, Step } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact } from '../host/types.ts';
import { copyImage } from '../oci/copy.ts';
import { readImageAt } from '../oci/image.ts';
import { requireManifest } from '../oci/manifests.ts';
import type { Payload } from '../payload/types.ts';
import { acquireReference } from './acquire.ts';
import type { ImagePorts } from './ports.ts';
import { parsePreload } from './preload-list.ts';

const KIND = 'preloaded-images';

/** Raise when the same images give another layout. */
const FORMAT = 2;

export interface PreloadedImage {
  readonly name: string;
  /** Of its manifest. */
  readonly digest: Digest;
  /** Bytes of its layers as they are stored. */
  readonly size: number;
}

const factsSchema = z.object({ images: z.array(z.object({ name: z.string(), digest: digestSchema, size: z.number() })) });

/** A payload with more images, and what these cost. */
export interface PreloadedPayload {
  readonly payload: Payload;
  readonly preloaded: readonly PreloadedImage[];
}

/**
 * The step that brings images beside those of a payload, all into one layout: what they share is there once.
 *
 * Its parts throw KvciError `platform-missing`, `image-not-found` and what registries throw.
 */
export function preloadStep(
  payload: Payload,
  wanted: readonly string[],
  engine: EngineChoice,
  ports: ImagePorts,
  run: RunContext,
): Step<PreloadedPayload> {
  const references = wanted.map(parsePreload);
  const { architecture } = payload;
  const inputs = {
    wanted: references.map(({ name, pinned }) => `${name} ${pinned}`),
    beside: payload.images.map(({ ref, manifest }) => `${ref} ${manifest}`),
    architecture,
  };
  const key = digestOf({ ...inputs, format: FORMAT });
  const answer = (artifact: Artifact): PreloadedPayload => {
    const { images: preloaded } = factsOf(artifact, factsSchema);
    const added = preloaded.map(({ name, digest }) => ({ ref: name, manifest: digest }));
    return { payload: { ...payload, images: [...payload.images, ...added], layout: `${artifact.path}/layout` }, preloaded };
  };
  return {
    id: 'preload',
    title: `${references.length} images to preload`,
    why: 'they are not here together yet',
    find: async () => {
      const found = await ports.store.find(KIND, key);
      return found === undefined ? undefined : answer(found);
    },
    make: async ({ signal }) => {
      const build = async (folder: string): Promise<z.output<typeof factsSchema>> => {
        const layout = await ports.layoutIn(`${folder}/layout`);
        if (payload.layout !== undefined) {
          const from = await ports.layoutIn(payload.layout);
          for (const { ref, manifest } of payload.images) await copyImage(from, layout, await requireManifest(from, manifest), [ref]);
        }
        const images: PreloadedImage[] = [];
        for (const { name, pinned } of references) {
          const found = await acquireReference(pinned, { engine, architecture }, ports, run);
          if (found.architecture !== architecture) throw otherPlatform(pinned, found.architecture, architecture);
          await copyImage(found.layout, layout, found.descriptor, [name]);
          const { manifest } = await readImageAt(layout, found.descriptor);
          images.push({ name, digest: found.descriptor.digest, size: manifest.layers.reduce((sum, { size }) => sum + size, 0) });
        }
        return { images };
      };
      const title = `images to preload: ${references.map(({ name }) => name).join(', ')}`;
      return answer(await ports.store.make({ kind: KIND, key, inputs, title, signal, build }));
    },
  };
}

function otherPlatform(image: string, found: string, wanted: string): KvciError {
  return new KvciError('notFoundOrExists', 'platform-missing', `${image} is for ${found}, and the node image for ${wanted}`, {
    facts: { image, architecture: found, wanted },
  });
}
