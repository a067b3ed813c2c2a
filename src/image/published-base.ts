import { z } from 'zod';

import { digestOf, type Digest, shortDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext, Step, StepContext } from '../core/plan.ts';
import { runStep } from '../core/plan.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ContainerEngine } from '../host/types.ts';
import { saveArchive } from '../oci/archive-save.ts';
import { copyImage } from '../oci/copy.ts';
import { imageTree, layersOf, readFile, readImageAt } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { findManifest, listManifests } from '../oci/manifests.ts';
import { parseReference } from '../oci/reference.ts';
import { pullImage } from '../oci/registry-transfer.ts';
import { descriptorSchema, layerSchema } from '../oci/schemas.ts';
import type { Descriptor, Layer } from '../oci/types.ts';
import type { Architecture } from '../payload/types.ts';
import type { ImagePorts } from './ports.ts';

const KIND = 'base-layers';

/** Raise when the same base gives other blobs. */
const FORMAT = 1;

/** An image that a node image starts from, of a registry or of kvci's store. */
export interface PublishedBase {
  readonly kind: 'published';
  readonly ref: string;
  readonly digest: Digest;
}

/** Names below `localhost` without a port belong to no registry: Podman and kvci give them to images that are only here. */
function isLocal(ref: string): boolean {
  return parseReference(ref).registry === 'localhost';
}

/**
 * The digest that a base has now: in kvci's store, where its name is of no registry, else in its registry.
 *
 * @throws KvciError `image-not-found`, and what asking the registry throws
 */
export async function resolveBase(ref: string, ports: Pick<ImagePorts, 'layout' | 'registry'>, signal: AbortSignal): Promise<Digest> {
  const reference = parseReference(ref);
  if (reference.digest !== undefined) return reference.digest;
  if (isLocal(ref)) return (await storedBase(ref, ref, ports)).descriptor.digest;
  return (await (await ports.registry()).resolve(reference, signal)).digest;
}

async function storedBase(ref: string, wanted: string, ports: Pick<ImagePorts, 'layout'>) {
  const layout = await ports.layout();
  const descriptor = await findManifest(layout, wanted);
  if (descriptor !== undefined) return { layout, descriptor };
  throw new KvciError(
    'notFoundOrExists',
    'image-not-found',
    `the base ${ref} is not in kvci's store${wanted === ref ? '' : ` as ${wanted}`}`,
    {
      hint: `Bring it there: "podman save --format oci-archive --output base.tar ${ref}" (or "docker save"), then "kvci image load base.tar".`,
      facts: { ref, wanted },
    },
  );
}

/** The layers that a node image starts with, in a layout of their own. */
export interface BaseLayers {
  readonly folder: string;
  readonly layers: readonly Layer[];
}

const factsSchema = z.object({ layers: z.array(layerSchema), image: descriptorSchema });
type PulledFacts = z.output<typeof factsSchema>;

/** What FROM names, by digest alone: a tag may move. Engines know no digest of an image that is loaded: it gets a tag of kvci's. */
export function pinnedReference({ ref, digest }: PublishedBase): string {
  const { registry, repository } = parseReference(ref);
  return isLocal(ref) ? `localhost/kvci/base:${shortDigest(digest)}` : `${registry}/${repository}@${digest}`;
}

/** Makes sure that the engine has a base, whose layers are here already where it comes from the store. */
export async function provideBase(
  base: PublishedBase,
  { folder }: BaseLayers,
  engine: ContainerEngine,
  ports: ImagePorts,
  context: StepContext,
): Promise<void> {
  const from = pinnedReference(base);
  if (await engine.hasImage(from)) return;
  if (!isLocal(base.ref)) {
    await engine.pull(from, context.signal, context.output);
    return;
  }
  const layout = await ports.layoutIn(folder);
  const [listed] = await listManifests(layout);
  if (listed === undefined) throw new KvciError('failed', 'blob-missing', `${folder} holds no image`);
  context.output(`loading ${from}`);
  // What every engine reads.
  await engine.load(saveArchive(layout, listed.descriptor, { refs: [from], layers: 'none' }), context.signal);
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
          const image = await readImageAt(layout, await fetchBase(base, layout, architecture, ports, context), architecture);
          return { layers: layersOf(image), image: image.descriptor };
        },
      });
      return answer(made);
    },
  };
}

async function fetchBase(
  base: PublishedBase,
  layout: ImageLayout,
  architecture: Architecture,
  ports: ImagePorts,
  context: StepContext,
): Promise<Descriptor> {
  if (!isLocal(base.ref)) {
    return pullImage(await ports.registry(), layout, parseReference(pinnedReference(base)), {
      architecture,
      signal: context.signal,
      onProgress: (done, total) => {
        context.progress(done, total, 'bytes', 'layers');
      },
    });
  }
  const { layout: store, descriptor } = await storedBase(base.ref, base.digest, ports);
  const { descriptor: image, config } = await readImageAt(store, descriptor, architecture);
  if (config.architecture !== architecture) {
    throw new KvciError('usage', 'platform-missing', `${base.ref} in kvci's store is for ${config.architecture}, not for ${architecture}`);
  }
  await copyImage(store, layout, image);
  return image;
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
