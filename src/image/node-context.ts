import type { Digest } from '../core/digest.ts';
import type { Payload } from '../payload/types.ts';
import type { Base } from './base-layers.ts';
import { type ContextFile, contextFiles, type HostFile } from './context.ts';
import { layoutFiles } from './host-files.ts';
import type { ImageInputs } from './inputs.ts';
import { imageLabels } from './labels.ts';
import { contextKey } from './node-layers.ts';
import { parseExtraFile } from './options.ts';
import type { ImagePorts } from './ports.ts';
import { provenanceJson } from './provenance.ts';
import { renderNode } from './render.ts';
import { type InstalledPackage, sbomJson, type SystemPackages } from './sbom.ts';
import type { NodeSources } from './sources.ts';
import type { NodeRequest } from './view.ts';

/** What lies beside an image, and inside of it under /usr/share/kvci. */
export interface ImageDocument {
  readonly name: string;
  readonly mediaType: string;
  readonly content: string;
}

/** The build context of a node image. */
export interface NodeContext {
  /** Decides whether layers are reused: labels and tags are no part of it. */
  readonly key: Digest;
  readonly files: readonly ContextFile[];
  /** Seconds since the epoch: the time of everything in the image. */
  readonly time: number;
  readonly labels: Readonly<Record<string, string>>;
  /**
   * The packages of a published base are known only once the image is built: without them the documents are a first form, which
   * goes into the build context and is replaced in the image.
   */
  readonly documents: (installed?: readonly InstalledPackage[], beside?: Beside) => readonly ImageDocument[];
}

/** What documents beside an image say that those in it cannot. */
export interface Beside {
  readonly image: Digest;
  /** Commit of kvci. */
  readonly revision: string | undefined;
}

/** The context of inputs and a payload that is made. */
export async function nodeContext(
  inputs: ImageInputs,
  base: Base,
  payload: Payload,
  extraFiles: readonly HostFile[],
  sources: NodeSources,
  kvci: ImagePorts['kvci'],
): Promise<NodeContext> {
  const layout = payload.layout === undefined ? new Map<string, HostFile>() : await layoutFiles(payload.layout);
  const filesOf = (request: NodeRequest, documents: readonly ImageDocument[]): readonly ContextFile[] =>
    contextFiles({
      request,
      rendered: renderNode(request, sources),
      sources,
      payloadFiles: payload.files,
      layout,
      extraFiles,
      documents: new Map(documents.map(({ name, content }) => [name, content])),
    });
  const bare = nodeRequest(inputs, base, payload);
  const time = Math.floor(Date.parse(inputs.payload.created) / 1000);
  // The documents tell of the context, the key counts them, and a label tells the key: each step needs the one before.
  const context = filesOf(bare, []);
  const documents: NodeContext['documents'] = (installed, beside) =>
    documentsOf(inputs, payload, context, kvci, systemOf(inputs, payload, installed), beside);
  const key = contextKey(base.key, filesOf(bare, documents()), time);
  const labels = labelsOf(inputs, key, kvci);
  return { key, files: filesOf({ ...bare, labels }, documents()), time, labels, documents };
}

function nodeRequest({ options, distribution, architecture, base, ownBase }: ImageInputs, { from }: Base, payload: Payload): NodeRequest {
  return {
    distribution,
    from,
    ownBase,
    architecture,
    source: payload.source,
    versions: payload.versions,
    repositories: [
      ...(payload.repository === undefined ? [] : [{ name: 'kubernetes', ...payload.repository }]),
      ...(payload.runtimeRepository === undefined ? [] : [{ name: 'cri-o', ...payload.runtimeRepository }]),
    ],
    images: payload.images,
    packages: base.kind === 'debian' ? [] : options.packages,
    kernel: base.kind === 'debian' ? undefined : options.kernel,
    extraFiles: options.files.map((text) => parseExtraFile(text).destination),
    documents: true,
    labels: {},
    payloadFiles: payload.files.length > 0,
  };
}

function labelsOf(
  { options, payload, distribution, base }: ImageInputs,
  inputs: Digest,
  kvci: ImagePorts['kvci'],
): Readonly<Record<string, string>> {
  return imageLabels({
    created: payload.created,
    kvciVersion: kvci.version,
    versions: payload.versions,
    payloadSource: payload.source,
    base: { id: distribution.id, title: distribution.title, ...(base.kind === 'published' ? { name: base.ref, digest: base.digest } : {}) },
    inputs,
    extra: options.labels,
  });
}

/** The distribution's packages; those of Kubernetes and CRI-O come with the payload, which knows their files. */
function systemOf(
  { distribution, base }: ImageInputs,
  { repository, runtimeRepository }: Payload,
  installed: readonly InstalledPackage[] = [],
): SystemPackages {
  const exact = new Set([...(repository?.packages ?? []), ...(runtimeRepository?.packages ?? [])]);
  const own = installed.filter(({ name, version }) => !exact.has(`${name}-${version}`) && !exact.has(`${name}=${version}`));
  return {
    kind: distribution.family === 'debian' ? 'deb' : 'rpm',
    distribution: distribution.id,
    packages: base.kind === 'debian' ? base.set.packages.map(({ sha256, ...one }) => ({ ...one, digest: sha256 })) : own,
  };
}

function documentsOf(
  { options, payload: lock, distribution, base }: ImageInputs,
  payload: Payload,
  context: readonly ContextFile[],
  kvci: ImagePorts['kvci'],
  system: SystemPackages,
  beside: Beside | undefined,
): readonly ImageDocument[] {
  const name = `kvci-node-${distribution.id}`;
  const published = base.kind === 'published' ? { name: base.ref, digest: base.digest } : undefined;
  // Tags and labels change nothing that is in the image.
  const { tags: _tags, labels: _labels, files, ...rest } = options;
  return [
    {
      name: 'sbom.cdx.json',
      mediaType: 'application/vnd.cyclonedx+json',
      content: sbomJson({
        created: lock.created,
        kvciVersion: kvci.version,
        image: { name, version: lock.versions.kubernetes },
        ...(published === undefined ? {} : { base: published }),
        system,
        payload: payload.components,
      }),
    },
    {
      name: 'provenance.json',
      mediaType: 'application/vnd.in-toto+json',
      content: provenanceJson({
        kvciVersion: kvci.version,
        ...(beside === undefined ? {} : { revision: beside.revision, subject: { name, digest: beside.image } }),
        // Where a file came from differs between users; its digest is in the context.
        options: { ...rest, files: files.map((text) => parseExtraFile(text).destination) },
        base: { id: distribution.id, ...published },
        system,
        payload: lock,
        components: payload.components,
        context,
      }),
    },
  ];
}
