import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { writeFileAtomic } from '../host/files.ts';
import { putBlob } from './blobs.ts';
import { type ImageLayout, withLock } from './layout.ts';
import { parseIndex } from './schemas.ts';
import type { Descriptor, ImageIndex, Manifest } from './types.ts';

/** The annotation of an index entry that holds its tag; kvci writes whole references: `registry.k8s.io/pause:3.10`. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** A manifest in a layout's index and the references that name it. */
export interface ListedManifest {
  readonly descriptor: Descriptor;
  readonly refs: readonly string[];
}

export async function readIndex(layout: Pick<ImageLayout, 'path'>): Promise<ImageIndex> {
  const path = join(layout.path, 'index.json');
  return parseIndex(await readFile(path), path);
}

/** Every manifest of the layout once, in the order they came. */
export async function listManifests(layout: Pick<ImageLayout, 'path'>): Promise<readonly ListedManifest[]> {
  const listed = new Map<Digest, { descriptor: Descriptor; refs: string[] }>();
  for (const { annotations, ...descriptor } of (await readIndex(layout)).manifests) {
    const { [REF_NAME]: ref, ...rest } = annotations ?? {};
    const kept = Object.keys(rest).length === 0 ? descriptor : { ...descriptor, annotations: rest };
    const entry = listed.get(descriptor.digest) ?? { descriptor: kept, refs: [] as string[] };
    if (ref !== undefined) entry.refs.push(ref);
    listed.set(descriptor.digest, entry);
  }
  return [...listed.values()];
}

/** The manifest that a reference or a digest names; undefined when the layout has none. */
export async function findManifest(layout: Pick<ImageLayout, 'path'>, refOrDigest: string): Promise<Descriptor | undefined> {
  const listed = await listManifests(layout);
  return listed.find(({ descriptor, refs }) => descriptor.digest === refOrDigest || refs.includes(refOrDigest))?.descriptor;
}

/** @throws KvciError `image-not-found` */
export async function requireManifest(layout: Pick<ImageLayout, 'path'>, refOrDigest: string): Promise<Descriptor> {
  const found = await findManifest(layout, refOrDigest);
  if (found !== undefined) return found;
  throw new KvciError('notFoundOrExists', 'image-not-found', `no image ${refOrDigest} in ${layout.path}`, {
    facts: { image: refOrDigest },
  });
}

/** Writes a manifest and enters it into the index, under `refs` where given. Its blobs must be there already. */
export async function putManifest(layout: ImageLayout, manifest: Manifest | ImageIndex, refs: readonly string[] = []): Promise<Descriptor> {
  const written = await putBlob(layout, Buffer.from(JSON.stringify(manifest)));
  const descriptor = { mediaType: manifest.mediaType, ...written };
  await enterManifest(layout, descriptor, refs);
  return descriptor;
}

/** Enters a manifest whose blob is there into the index; a reference moves from the manifest it named before. */
export async function enterManifest(layout: ImageLayout, descriptor: Descriptor, refs: readonly string[] = []): Promise<void> {
  await changeIndex(layout, (entries) => {
    const others = entries.filter(({ annotations }) => !refs.includes(annotations?.[REF_NAME] ?? ''));
    const named = refs.map((ref) => ({ ...descriptor, annotations: { ...descriptor.annotations, [REF_NAME]: ref } }));
    const stays = others.some(({ digest }) => digest === descriptor.digest);
    return [...others, ...(named.length === 0 && !stays ? [descriptor] : named)];
  });
}

/** @throws KvciError `image-not-found` */
export async function tagManifest(layout: ImageLayout, digest: Digest, ref: string): Promise<void> {
  await enterManifest(layout, await requireManifest(layout, digest), [ref]);
}

/** Takes a reference away; the manifest stays, without a name if that was its last. @throws KvciError `image-not-found` */
export async function untagManifest(layout: ImageLayout, ref: string): Promise<void> {
  const { digest } = await requireManifest(layout, ref);
  await changeIndex(layout, (entries) => {
    const others = entries.filter(({ annotations }) => annotations?.[REF_NAME] !== ref);
    if (others.some((entry) => entry.digest === digest)) return others;
    return entries.map((entry) => {
      if (entry.annotations?.[REF_NAME] !== ref) return entry;
      return { ...entry, annotations: Object.fromEntries(Object.entries(entry.annotations).filter(([key]) => key !== REF_NAME)) };
    });
  });
}

/** Takes a manifest and all its references out of the index; its blobs go with the next garbage collection. */
export async function removeManifest(layout: ImageLayout, digest: Digest): Promise<void> {
  await changeIndex(layout, (entries) => entries.filter((entry) => entry.digest !== digest));
}

async function changeIndex(layout: ImageLayout, change: (entries: readonly Descriptor[]) => readonly Descriptor[]): Promise<void> {
  await withLock(layout, async () => {
    const index = await readIndex(layout);
    await writeFileAtomic(join(layout.path, 'index.json'), JSON.stringify({ ...index, manifests: change(index.manifests) }));
  });
}
