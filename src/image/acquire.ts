import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';

import { digestOf } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { hasErrno, KvciError, messageOf } from '../core/errors.ts';
import { type RunContext, runStep, type Step } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact } from '../host/types.ts';
import { loadArchive, type LoadedImage } from '../oci/archive-load.ts';
import type { NamedImage } from '../oci/archive-partial.ts';
import { readImageAt } from '../oci/image.ts';
import { listManifests } from '../oci/manifests.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { formatReference, type ImageReference, parseReference } from '../oci/reference.ts';
import { pullImage } from '../oci/registry-transfer.ts';
import { descriptorSchema } from '../oci/schemas.ts';
import { readArchive } from './images.ts';
import { locateImage } from './locate.ts';
import type { ImagePorts } from './ports.ts';

const KIND = 'foreign-image';

/** Raise when the same image gives other blobs. */
const FORMAT = 2;

/** An image of somebody's own, of one platform. */
export interface AcquiredImage extends NamedImage {
  readonly from: 'store' | 'engine' | 'registry' | 'archive';
  readonly architecture: string;
}

export type AcquirePorts = Pick<ImagePorts, 'layout' | 'layoutIn' | 'store' | 'registry' | 'runningEngine'>;

export interface AcquireRequest {
  readonly engine: EngineChoice;
  /** Of an index, the image for `linux` and this architecture is taken. */
  readonly architecture: string;
  /** Where paths start. */
  readonly cwd: string;
}

/**
 * The images that a word names: those of an archive where there is such a file, else the one of kvci's store, of an engine that
 * runs or of its registry, in this order. What comes from outside is kept in the cache.
 *
 * @throws KvciError `archive-missing`, `image-unnamed`, `bad-reference`, `image-not-found`, `platform-missing`, and as `loadArchive`
 * and registries throw
 */
export async function acquireImages(
  word: string,
  request: AcquireRequest,
  ports: AcquirePorts,
  run: RunContext,
): Promise<readonly AcquiredImage[]> {
  const path = resolve(request.cwd, word);
  const status = await stat(path).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG')) return undefined;
    throw error;
  });
  if (status?.isDirectory() === true && /^[./]/.test(word)) return [await ofLayout(path, request, ports)];
  if (status !== undefined && !status.isDirectory()) {
    const { size, mtimeMs, ino, dev } = status;
    const inputs = { path, size, mtimeMs, ino, dev };
    const fill = (layout: ImageLayout): Promise<Filled> => readArchive(layout, path).then(filled);
    const { layout, images } = await kept(`archive ${word}`, inputs, fill, ports, run);
    return oneEach(
      images.flatMap((image) => named(image, layout, word, 'archive')),
      request,
    );
  }
  if (/^\.{0,2}\/|\.(?:tar|tgz|tar\.\w+)$/.test(word))
    throw new KvciError('notFoundOrExists', 'archive-missing', `there is no file ${path}`);
  return [await acquireReference(word, request, ports, run)];
}

/** {@link acquireImages} for a word that is a reference. */
export async function acquireReference(
  word: string,
  request: Omit<AcquireRequest, 'cwd'>,
  ports: AcquirePorts,
  run: RunContext,
): Promise<AcquiredImage> {
  const reference = parseReference(word);
  const found =
    (await ofStore(word, reference, ports)) ??
    (await ofEngine(word, reference, request, ports, run)) ??
    (await ofRegistry(word, reference, request, ports, run));
  return onePlatform(found, request);
}

type Found = Omit<AcquiredImage, 'architecture'>;

const filledSchema = z.object({
  images: z.array(z.object({ descriptor: descriptorSchema, refs: z.array(z.string()), indexes: z.array(digestSchema) })),
});
type Filled = z.output<typeof filledSchema>;

function filled(images: readonly Filled['images'][number][] | Awaited<ReturnType<typeof readArchive>>): Filled {
  return { images: images.map(({ descriptor, refs, indexes }) => ({ descriptor, refs: [...refs], indexes: [...indexes] })) };
}

/** What nodes call an image. A tag beside a digest says nothing, and not every runtime takes it. */
function fullName({ tag, ...reference }: ImageReference): string {
  return formatReference(reference.digest !== undefined || tag === undefined ? reference : { ...reference, tag });
}

async function ofStore(word: string, reference: ImageReference, ports: AcquirePorts): Promise<Found | undefined> {
  const layout = await ports.layout();
  const names = [word, formatReference(reference)];
  const listed = await listManifests(layout);
  const found = listed.find(({ descriptor, refs }) => refs.some((ref) => names.includes(ref)) || descriptor.digest === reference.digest);
  return found === undefined ? undefined : { layout, descriptor: found.descriptor, name: fullName(reference), from: 'store' };
}

async function ofLayout(path: string, request: AcquireRequest, ports: AcquirePorts): Promise<AcquiredImage> {
  const { layout, descriptor } = await locateImage(await ports.layout(), path);
  const listed = (await listManifests(layout)).find((entry) => entry.descriptor.digest === descriptor.digest);
  const [image] = named({ descriptor, refs: listed?.refs ?? [] }, layout, path, 'archive');
  if (image === undefined) throw unnamed(path);
  return onePlatform(image, request);
}

async function ofEngine(
  word: string,
  reference: ImageReference,
  request: Omit<AcquireRequest, 'cwd'>,
  ports: AcquirePorts,
  run: RunContext,
): Promise<Found | undefined> {
  await using engine = await ports.runningEngine(request.engine);
  const id = await engine?.imageId(word);
  if (engine === undefined || id === undefined) return undefined;
  const fill = async (layout: ImageLayout): Promise<Filled> => filled(await loadArchive(layout, await engine.save(word, run.signal)));
  const { layout, images } = await kept(`${word} of ${(await engine.info()).name}`, { engine: id }, fill, ports, run);
  // Some engines write manifests of their own, whose digest is not the one that was asked for.
  const wanted = ({ descriptor, indexes }: Filled['images'][number]): boolean =>
    reference.digest === undefined || [descriptor.digest, ...indexes].includes(reference.digest);
  const name = fullName(reference);
  const those = images.filter(wanted).map(({ descriptor }): Found => ({ layout, descriptor, name, from: 'engine' }));
  const [found] = await oneEach(those, request);
  return found;
}

async function ofRegistry(
  word: string,
  reference: ImageReference,
  { architecture }: Omit<AcquireRequest, 'cwd'>,
  ports: AcquirePorts,
  run: RunContext,
): Promise<Found> {
  // Podman and kvci give such names to images that are only here.
  if (reference.registry === 'localhost') throw nowhere(word, reference);
  const client = await ports.registry();
  const { digest } = await client
    .retry('the digest', () => client.resolve(reference, run.signal), run.signal)
    .catch((error: unknown) => {
      throw error instanceof KvciError ? nowhere(word, reference, error) : error;
    });
  const { registry, repository } = reference;
  const fill = async (layout: ImageLayout): Promise<Filled> => {
    const descriptor = await pullImage(client, layout, { registry, repository, digest }, { architecture, signal: run.signal });
    return filled([{ descriptor, refs: [], indexes: [] }]);
  };
  const { layout, images } = await kept(`${word} of its registry`, { image: digest, architecture }, fill, ports, run);
  const [image] = images;
  if (image === undefined) throw nowhere(word, reference);
  return { layout, descriptor: image.descriptor, name: fullName(reference), from: 'registry' };
}

/** An image in a layout of its own in the cache, brought there once. */
async function kept(
  title: string,
  inputs: object,
  fill: (layout: ImageLayout) => Promise<Filled>,
  ports: AcquirePorts,
  run: RunContext,
): Promise<{ readonly layout: ImageLayout; readonly images: Filled['images'] }> {
  const key = digestOf({ ...inputs, format: FORMAT });
  const step: Step<Artifact> = {
    id: `image ${title}`,
    title,
    why: 'it is not in the cache yet',
    find: () => ports.store.find(KIND, key),
    make: ({ signal }) =>
      ports.store.make({
        ...{ kind: KIND, key, inputs, title, signal },
        build: async (folder) => fill(await ports.layoutIn(`${folder}/layout`)),
      }),
  };
  const artifact = await runStep(step, run);
  return { layout: await ports.layoutIn(`${artifact.path}/layout`), ...factsOf(artifact, filledSchema) };
}

/** An image of an archive under each of its names. @throws KvciError `image-unnamed` */
function named(
  { descriptor, refs }: Pick<LoadedImage, 'descriptor' | 'refs'>,
  layout: ImageLayout,
  word: string,
  from: 'archive',
): Found[] {
  if (refs.length === 0) throw unnamed(word);
  return refs.map((ref) => ({ layout, descriptor, name: fullName(parseReference(ref)), from }));
}

async function onePlatform(
  found: Found,
  { architecture }: Pick<AcquireRequest, 'architecture'>,
): Promise<AcquiredImage & { readonly os: string }> {
  const { descriptor, config } = await readImageAt(found.layout, found.descriptor, architecture);
  return { ...found, descriptor, os: config.os, architecture: config.architecture };
}

/** One image a name: of several platforms the wanted one; where it is not among them the first, which tells what it is for. */
async function oneEach(images: readonly Found[], request: Pick<AcquireRequest, 'architecture'>): Promise<readonly AcquiredImage[]> {
  const found = await Promise.all(images.map((each) => onePlatform(each, request)));
  const fits = ({ os, architecture }: (typeof found)[number]): boolean => os === 'linux' && architecture === request.architecture;
  const chosen = new Map<string, AcquiredImage>();
  for (const image of [...found.filter(fits), ...found]) if (!chosen.has(image.name)) chosen.set(image.name, image);
  return [...chosen.values()];
}

function unnamed(word: string): KvciError {
  return new KvciError('usage', 'image-unnamed', `an image in ${word} has no name that a pod could call it by`, {
    hint: 'Save it by its name: "podman save NAME:TAG", "docker save NAME:TAG" or "kvci image save NAME:TAG".',
    facts: { archive: word },
  });
}

function nowhere(word: string, { digest }: ImageReference, registry?: KvciError): KvciError {
  const under = digest === undefined ? '' : 'under that digest ';
  const places = `neither in kvci's store nor ${under}in an engine that runs here`;
  const own = registry === undefined ? 'and its name is of no registry' : `and its registry did not give it: ${messageOf(registry)}`;
  return new KvciError(
    registry?.reason ?? 'notFoundOrExists',
    registry?.code ?? 'image-not-found',
    `the image ${word} is ${places}, ${own}`,
    {
      ...(registry?.hint === undefined ? {} : { hint: registry.hint }),
      facts: { ...registry?.facts, image: word },
      cause: registry,
    },
  );
}
