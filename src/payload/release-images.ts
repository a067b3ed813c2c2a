import { join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import type { Step } from '../core/plan.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ArtifactStore } from '../host/types.ts';
import { choosePlatform } from '../oci/image.ts';
import { createLayout, type LayoutTools } from '../oci/layout.ts';
import { type ImageReference, parseReference } from '../oci/reference.ts';
import { pullImage } from '../oci/registry-transfer.ts';
import type { RegistryClient } from '../oci/registry.ts';
import { isIndex, parseIndex } from '../oci/schemas.ts';
import { type LockedImage } from './release-lock.ts';
import type { ReleaseServers } from './release-servers.ts';
import type { Architecture, PayloadComponent, PayloadImage } from './types.ts';

export interface ImageParts {
  readonly registry: RegistryClient;
  readonly servers: ReleaseServers;
  readonly store: ArtifactStore;
  readonly layoutTools: LayoutTools;
}

const IMAGES_KIND = 'pulled-images';

/** Where a reference is asked for: at the registry that stands for upstream's. */
function mirrored(ref: string, registry: string): ImageReference {
  return parseReference(ref.replace(/^registry\.k8s\.io\//, `${registry}/`));
}

/**
 * The images of one architecture by the digests of their manifests.
 *
 * @throws KvciError `image-not-found`, `platform-missing`, `registry-denied`, `registry-failed`, `offline`
 */
export async function lockImages(
  refs: readonly string[],
  architecture: Architecture,
  parts: ImageParts,
  signal: AbortSignal,
): Promise<LockedImage[]> {
  return Promise.all(
    refs.map(async (ref) => {
      const reference = mirrored(ref, parts.servers.registry);
      const { descriptor, bytes } = await parts.registry.retry(ref, () => parts.registry.manifest(reference, signal), signal);
      if (!isIndex(descriptor)) return { ref, digest: descriptor.digest };
      const { manifests } = parseIndex(bytes, `image index ${descriptor.digest}`);
      return { ref, digest: choosePlatform(manifests, architecture, descriptor.digest).digest };
    }),
  );
}

export function imagesKey(images: readonly LockedImage[]): Digest {
  return digestOf({ version: 1, images: images.map(({ ref, digest }) => ({ ref, digest })).toSorted((a, b) => (a.ref < b.ref ? -1 : 1)) });
}

/** The images in one layout in the store, each under the reference kubeadm asks for; shared layers once. */
export function imagesStep(
  kubernetes: string,
  images: readonly LockedImage[],
  architecture: Architecture,
  parts: ImageParts,
): Step<Artifact> {
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
        title: `Control-plane images of Kubernetes ${kubernetes} (${architecture})`,
        inputs: { images },
        signal: context.signal,
        build: async (folder) => {
          const layout = await createLayout(join(folder, 'layout'), parts.layoutTools);
          const pulled: PayloadImage[] = [];
          // One after the other: the order of the index is part of the layout's bytes.
          for (const { ref, digest } of images.toSorted((a, b) => (a.ref < b.ref ? -1 : 1))) {
            context.progress(pulled.length, images.length, 'items', ref);
            const { registry, repository } = mirrored(ref, parts.servers.registry);
            await pullImage(
              parts.registry,
              layout,
              { registry, repository, digest },
              { architecture, refs: [ref], signal: context.signal },
            );
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
  return { images: factsOf(artifact, imagesSchema), layout: join(artifact.path, 'layout') };
}

/** https://github.com/package-url/purl-spec/blob/main/types-doc/oci-definition.md */
export function imageComponent({ ref, digest }: LockedImage): PayloadComponent {
  const colon = ref.lastIndexOf(':');
  const [repository, tag] = [ref.slice(0, colon), ref.slice(colon + 1)] as const;
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  const purl = `pkg:oci/${name}@${encodeURIComponent(digest)}?repository_url=${encodeURIComponent(repository)}&tag=${tag}`;
  return { purl, name, version: tag, digest };
}
