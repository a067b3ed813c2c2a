import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { z } from 'zod';

import { digestOf, type Digest, shortDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Step, StepContext } from '../core/plan.ts';
import type { TarEntryWithContent } from '../host/tar.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ContainerEngine } from '../host/types.ts';
import { loadArchive } from '../oci/archive-load.ts';
import { flattenAbove } from '../oci/flatten.ts';
import { writeLayer } from '../oci/layer.ts';
import { layersAbove, readImageAt } from '../oci/image.ts';
import { type LayerRule, splitLayers } from '../oci/layer-rules.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { layerSchema } from '../oci/schemas.ts';
import { readTree, type Tree } from '../oci/tree.ts';
import type { Descriptor, ImageConfig, Layer, TreeEntryWithContent } from '../oci/types.ts';
import type { Architecture } from '../payload/types.ts';
import type { Base } from './base-layers.ts';
import type { BaseLayers } from './published-base.ts';
import { CONTAINERFILE, type ContextFile, DOCUMENTS } from './context.ts';
import { replaceContents, takePackageList } from './package-list.ts';
import type { ImagePorts } from './ports.ts';
import type { InstalledPackage } from './sbom.ts';

const KIND = 'node-layers';

/** Raise when the same build gives other layers. */
const FORMAT = 1;

/** What is large and changes with the payload stands apart from what changes with kvci's templates. */
const LAYER_RULES: readonly LayerRule[] = [
  { name: 'images', prefixes: ['usr/lib/kvci/images'] },
  { name: 'programs', prefixes: ['usr/bin'] },
];

const factsSchema = z.object({
  layers: z.array(z.object({ name: z.string(), layer: layerSchema })),
  config: z.object({
    Env: z.array(z.string()).exactOptional(),
    Cmd: z.array(z.string()).exactOptional(),
    Entrypoint: z.array(z.string()).exactOptional(),
    StopSignal: z.string().exactOptional(),
  }),
  unpacked: z.number(),
  installed: z.array(z.object({ name: z.string(), version: z.string(), architecture: z.string() })).exactOptional(),
});

/** What an engine's image configuration says that matters to a node. */
export type NodeConfig = Pick<NonNullable<ImageConfig['config']>, 'Env' | 'Cmd' | 'Entrypoint' | 'StopSignal'>;

/** What the Containerfile added to its base, in kvci's own form: the same whatever engine built it. */
export interface NodeLayers {
  readonly folder: string;
  readonly layers: readonly { readonly name: string; readonly layer: Layer }[];
  readonly config: NodeConfig;
  /** Bytes of all files of the image, its base included. */
  readonly unpacked: number;
  /** What is installed, where only the built image tells. */
  readonly installed?: readonly InstalledPackage[];
}

export interface NodeLayersRequest {
  /** What the layers are, for people. */
  readonly title: string;
  readonly base: Base;
  readonly baseLayers: () => Promise<BaseLayers>;
  /** The build context with the user's labels in its Containerfile. */
  readonly context: readonly ContextFile[];
  /** The digest of the context without them: a label changes no layer. */
  readonly contextKey: Digest;
  readonly architecture: Architecture;
  /** Seconds since the epoch: the time of everything in the layers. */
  readonly time: number;
  /** On a published base, whose packages only the built image tells: the documents for the image, in their full form. */
  readonly documents:
    ((installed: readonly InstalledPackage[]) => readonly { readonly name: string; readonly content: string }[]) | undefined;
  readonly noCache: boolean;
  readonly engine: () => Promise<ContainerEngine>;
}

/** The key over everything that a build gets. */
export function contextKey(base: Digest, context: readonly ContextFile[], time: number): Digest {
  return digestOf({ base, time, format: FORMAT, context: context.map(({ path, mode, digest }) => ({ path, mode, digest })) });
}

/** Builds the Containerfile with an engine and takes its result apart. */
export function nodeLayersStep(request: NodeLayersRequest, ports: ImagePorts): Step<NodeLayers> {
  const key = request.contextKey;
  return {
    id: 'node',
    title: 'node image layers',
    why: request.noCache ? '--no-cache' : 'its build context or base changed',
    find: async () => {
      const found = request.noCache ? undefined : await ports.store.find(KIND, key);
      return found === undefined ? undefined : nodeLayersOf(found);
    },
    make: async (context) => {
      const old = request.noCache ? await ports.store.find(KIND, key) : undefined;
      if (old !== undefined) await ports.store.remove(old);
      const made = await ports.store.make({
        kind: KIND,
        key,
        inputs: { base: request.base.key, files: request.context.length },
        title: request.title,
        signal: context.signal,
        onWait: () => {
          context.output('another kvci builds the same: waiting');
        },
        build: (folder) => buildLayers(folder, request, ports, context),
      });
      return nodeLayersOf(made);
    },
  };
}

function nodeLayersOf(artifact: Artifact): NodeLayers {
  return { folder: join(artifact.path, 'layout'), ...factsOf(artifact, factsSchema) };
}

async function buildLayers(
  folder: string,
  request: NodeLayersRequest,
  ports: ImagePorts,
  context: StepContext,
): Promise<Omit<NodeLayers, 'folder'>> {
  const [layout, archive] = [await ports.layoutIn(join(folder, 'layout')), await ports.layoutIn(join(folder, 'archive'))];
  const base = await request.baseLayers();
  const engine = await request.engine();
  await request.base.provide(engine, base, context);
  const tag = `localhost/kvci/build:${shortDigest(request.contextKey)}`;
  await engine.build({
    context: layout.tar.write(contextEntries(request.context, request.time)),
    containerfile: CONTAINERFILE,
    tag,
    buildArgs: ports.proxyBuildArgs,
    noCache: request.noCache,
    platform: `linux/${request.architecture}`,
    signal: context.signal,
    onLine: context.output,
  });
  context.output('taking the image out of the engine');
  const [built] = await loadArchive(archive, await engine.save(tag, context.signal));
  if (built === undefined) throw new KvciError('failed', 'engine-archive', `the engine saved no image under ${tag}`);
  // The engine keeps its layer cache; the tag would only pile up.
  await engine.remove(tag);
  const image = await readImageAt(archive, built.descriptor);
  const own = layersAbove(
    base.layers.map(({ diffId }) => diffId),
    image,
  ).map(({ descriptor }) => descriptor);
  context.output(`normalising ${own.length} layers`);
  const normalised = await normalise(archive, layout, base, own, request);
  await rm(archive.path, { recursive: true, force: true });
  return { ...normalised, config: nodeConfig(image.config) };
}

/** Squashes what the engine recorded, which differs between engines, into layers of kvci's own order and times. */
async function normalise(
  archive: ImageLayout,
  layout: ImageLayout,
  base: BaseLayers,
  own: readonly Descriptor[],
  { time, documents }: Pick<NodeLayersRequest, 'time' | 'documents'>,
): Promise<Pick<NodeLayers, 'layers' | 'unpacked' | 'installed'>> {
  const below = await readTree(
    { ...archive, path: base.folder },
    base.layers.map(({ descriptor }) => descriptor),
  );
  await using flat = await flattenAbove(archive, below, own);
  const { entries: all, installed } = await complete(flat.entries, documents);
  const layers: { name: string; layer: Layer }[] = [];
  for (const { name, entries } of splitLayers(all, LAYER_RULES)) {
    const fixed = entries.map((entry) => ({ ...entry, mtime: time }));
    layers.push({ name, layer: await writeLayer(layout, fixed, { compression: 'zstd', mtime: time }) });
  }
  const unpacked = unpackedSize(flat.tree) + totalSize(all) - totalSize(flat.entries);
  return { layers, unpacked, ...(installed === undefined ? {} : { installed }) };
}

/** Puts the documents in their full form in the place of the first one, where the built image had to be asked. */
async function complete(
  entries: readonly TreeEntryWithContent[],
  documents: NodeLayersRequest['documents'],
): Promise<{ readonly entries: readonly TreeEntryWithContent[]; readonly installed?: readonly InstalledPackage[] }> {
  if (documents === undefined) return { entries };
  const { entries: rest, installed } = await takePackageList(entries);
  const contents = new Map(documents(installed).map(({ name, content }) => [`${DOCUMENTS}/${name}`, content]));
  return { entries: replaceContents(rest, contents), installed };
}

function totalSize(entries: readonly { readonly size: number }[]): number {
  return entries.reduce((sum, { size }) => sum + size, 0);
}

/** A file counts once, whatever its links. */
function unpackedSize(tree: Tree): number {
  return [...tree.nodes.values()].reduce(
    (sum, { type, path, links, size }) => (type === 'file' && links[0] === path ? sum + size : sum),
    0,
  );
}

/** A build context as a tar: folders first, fixed times and owners. */
function contextEntries(files: readonly ContextFile[], time: number): TarEntryWithContent[] {
  const folders = new Set(files.flatMap(({ path }) => parents(path)));
  const shared = { uid: 0, gid: 0, mtime: time, xattrs: {} };
  const entries: TarEntryWithContent[] = [
    ...[...folders].map((path) => ({
      ...shared,
      path,
      type: 'directory' as const,
      mode: 0o755,
      size: 0,
      content: () => Readable.from([]),
    })),
    ...files.map((file) => ({
      ...shared,
      path: file.path,
      type: 'file' as const,
      mode: file.mode,
      size: file.size,
      content: () => contentOf(file),
    })),
  ];
  return entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function contentOf({ content }: ContextFile): Readable {
  return content.kind === 'text' ? Readable.from([Buffer.from(content.text)]) : createReadStream(content.path);
}

function parents(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Engines add what they think of (host names, empty fields, a PATH or none): only what a node means is kept. */
function nodeConfig({ config = {} }: Pick<ImageConfig, 'config'>): NodeConfig {
  const env = (config.Env ?? []).filter((word) => !word.startsWith('PATH='));
  const path = config.Env?.find((word) => word.startsWith('PATH=')) ?? DEFAULT_PATH;
  return {
    Env: [path, ...env.toSorted()],
    ...(config.Entrypoint === undefined || config.Entrypoint.length === 0 ? {} : { Entrypoint: config.Entrypoint }),
    ...(config.Cmd === undefined || config.Cmd.length === 0 ? {} : { Cmd: config.Cmd }),
    ...(config.StopSignal === undefined ? {} : { StopSignal: config.StopSignal }),
  };
}
