import { join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import type { Step } from '../core/plan.ts';
import type { Artifact, ArtifactStore } from '../host/types.ts';
import { createLayout, type ImageLayout, type LayoutTools } from '../oci/layout.ts';
import { digestSchema, type LockedImage } from './release-lock.ts';
import type { Architecture, PayloadComponent, PayloadImage } from './types.ts';

/** A registry as sources of payloads use it. */
export interface ImageRegistry {
  /** The digest of the manifest of one architecture. @throws KvciError `not-served`, `offline`, `platform-missing` */
  resolve(ref: string, architecture: Architecture, signal: AbortSignal): Promise<Digest>;
  /** Copies the image of exactly that manifest into the layout and enters it as `name`. @throws KvciError `digest-mismatch`, `not-served` */
  pull(ref: string, digest: Digest, layout: ImageLayout, name: string, signal: AbortSignal): Promise<void>;
}

export interface ImageParts {
  readonly registry: ImageRegistry;
  /** Stands for registry.k8s.io. */
  readonly registryHost: string;
  readonly store: ArtifactStore;
  readonly layoutTools: LayoutTools;
}

const IMAGES_KIND = 'pulled-images';

/** Where a reference is asked for: at the registry that stands for upstream's. */
export function mirrored(ref: string, registryHost: string): string {
  return ref.replace(/^registry\.k8s\.io\//, `${registryHost}/`);
}

export async function lockImages(
  refs: readonly string[],
  architecture: Architecture,
  parts: ImageParts,
  signal: AbortSignal,
): Promise<LockedImage[]> {
  return Promise.all(
    refs.map(async (ref) => ({ ref, digest: await parts.registry.resolve(mirrored(ref, parts.registryHost), architecture, signal) })),
  );
}

export function imagesKey(images: readonly LockedImage[]): Digest {
  return digestOf({ version: 1, images: images.map(({ ref, digest }) => ({ ref, digest })).toSorted((a, b) => (a.ref < b.ref ? -1 : 1)) });
}

/** The images in one layout in the store, each under the reference kubeadm asks for; shared layers once. */
export function imagesStep(kubernetes: string, images: readonly LockedImage[], parts: ImageParts): Step<Artifact> {
  const key = imagesKey(images);
  return {
    id: 'payload.images',
    title: 'Control-plane images',
    why: 'not pulled yet',
    find: () => parts.store.find(IMAGES_KIND, key),
    make: (context) =>
      parts.store.make({
        kind: IMAGES_KIND,
        key,
        title: `Control-plane images of Kubernetes ${kubernetes}`,
        inputs: { images },
        signal: context.signal,
        build: async (folder) => {
          const layout = await createLayout(join(folder, 'layout'), parts.layoutTools);
          const pulled: PayloadImage[] = [];
          // One after the other: the order of the index is part of the layout's bytes.
          for (const { ref, digest } of images.toSorted((a, b) => (a.ref < b.ref ? -1 : 1))) {
            context.progress(pulled.length, images.length, 'items', ref);
            await parts.registry.pull(mirrored(ref, parts.registryHost), digest, layout, ref, context.signal);
            pulled.push({ ref, manifest: digest });
          }
          return pulled;
        },
      }),
  };
}

export async function findImages(images: readonly LockedImage[], store: ArtifactStore): Promise<Artifact | undefined> {
  return store.find(IMAGES_KIND, imagesKey(images));
}

const imagesSchema: z.ZodType<PayloadImage[]> = z.array(z.object({ ref: z.string(), manifest: digestSchema }));

/** What an artifact of {@link imagesStep} adds to a payload. */
export function imagesOf(artifact: Artifact): { readonly images: readonly PayloadImage[]; readonly layout: string } {
  return { images: imagesSchema.parse(artifact.record.facts), layout: join(artifact.path, 'layout') };
}

/** https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md */
export function imageComponent({ ref, digest }: LockedImage): PayloadComponent {
  const [repository = ref, tag = ''] = [ref.slice(0, ref.lastIndexOf(':')), ref.slice(ref.lastIndexOf(':') + 1)];
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  const purl = `pkg:oci/${name}@${encodeURIComponent(digest)}?repository_url=${encodeURIComponent(repository)}&tag=${tag}`;
  return { purl, name, version: tag, digest };
}
