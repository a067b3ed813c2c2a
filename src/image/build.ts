import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';

import type { Digest } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import type { PlannedStep } from '../core/events.ts';
import { planSteps, type RunContext, runStep } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { ContainerEngine } from '../host/types.ts';
import type { Payload } from '../payload/types.ts';
import { assembleImage } from './assemble.ts';
import { type Base, baseOf } from './base-layers.ts';
import type { BaseLayers } from './published-base.ts';
import { contextFiles, type ContextFile, type HostFile } from './context.ts';
import { type ImageInputs, resolveInputs } from './inputs.ts';
import { imageLabels } from './labels.ts';
import { LockSession } from './lock-session.ts';
import { contextKey, nodeLayersStep } from './node-layers.ts';
import { type ImageOptions, parseExtraFile } from './options.ts';
import type { ImagePorts } from './ports.ts';
import { provenanceJson } from './provenance.ts';
import { renderNode } from './render.ts';
import { sbomJson, type SystemPackages } from './sbom.ts';
import type { NodeSources } from './sources.ts';
import type { NodeRequest } from './view.ts';

/** How to build, beside what to build. */
export interface BuildSettings {
  /** Absolute path of kvci.lock. */
  readonly lockFile: string;
  readonly locked: boolean;
  readonly noCache: boolean;
  readonly engine: EngineChoice;
  /** Folder that relative paths in the options start from. */
  readonly folder: string;
}

export interface BuiltNode {
  readonly digest: Digest;
  readonly tags: readonly string[];
  readonly inputs: ImageInputs;
  readonly reused: boolean;
  /** Bytes: all layers as stored, and all files in them. */
  readonly size: { readonly compressed: number; readonly unpacked: number };
}

/** Media types of what lies beside an image. */
const DOCUMENT_TYPES: Readonly<Record<string, string>> = {
  'sbom.cdx.json': 'application/vnd.cyclonedx+json',
  'provenance.json': 'application/vnd.in-toto+json',
};

/** The first tag of a node image, when nobody names one. */
export function defaultTag(kubernetes: string, base: string): string {
  return `localhost/kvci/node:v${kubernetes.replaceAll('+', '-')}-${base}`;
}

/** Resolves what the lock lacks and writes it. */
export async function lockInputs(
  options: ImageOptions,
  settings: Pick<BuildSettings, 'lockFile' | 'locked'> & { readonly update: boolean },
  ports: ImagePorts,
  run: RunContext,
): Promise<{ readonly inputs: ImageInputs; readonly changed: boolean }> {
  const lock = await openLock(settings, ports, settings.update);
  const inputs = await resolveInputs(options, lock, ports, run);
  return { inputs, changed: await lock.save() };
}

/** What a build would do; writes nothing, not even the lock. */
export async function planBuild(
  options: ImageOptions,
  settings: BuildSettings,
  ports: ImagePorts,
  run: RunContext,
): Promise<readonly PlannedStep[]> {
  await using workflow = await prepare(options, settings, ports, run, 'keep the lock as it is');
  const { inputs, base } = workflow;
  const payload = await inputs.source.find(inputs.payload, inputs.architecture);
  const payloadStep: PlannedStep = {
    id: 'payload',
    title: `Kubernetes ${inputs.payload.versions.kubernetes} from ${inputs.source.name}`,
    action: payload === undefined ? 'run' : 'reuse',
    reason: payload === undefined ? 'not made yet' : 'same inputs',
  };
  const [baseStep] = await planSteps([base.step]);
  const nodeStep: PlannedStep =
    payload === undefined
      ? { id: 'node', title: 'node image layers', action: 'run', reason: 'the payload is new' }
      : ((await planSteps([(await workflow.node(payload)).step]))[0] ?? payloadStep);
  return [payloadStep, ...(baseStep === undefined ? [] : [baseStep]), nodeStep];
}

/** Everything of an image's build context, without building. The payload is made: the context lists its digests. */
export async function renderBuild(
  options: ImageOptions,
  settings: BuildSettings,
  ports: ImagePorts,
  run: RunContext,
): Promise<readonly ContextFile[]> {
  await using workflow = await prepare(options, settings, ports, run, 'write the lock');
  const payload = await workflow.inputs.source.make(workflow.inputs.payload, workflow.inputs.architecture, run);
  return (await workflow.node(payload)).context;
}

/** Builds a node image into kvci's store. */
export async function buildImage(options: ImageOptions, settings: BuildSettings, ports: ImagePorts, run: RunContext): Promise<BuiltNode> {
  await using workflow = await prepare(options, settings, ports, run, 'write the lock');
  const { inputs, base } = workflow;
  let reused = true;
  const watched: RunContext = {
    ...run,
    events: (event) => {
      if (event.type === 'step.end' && event.status !== 'reused') reused = false;
      run.events(event);
    },
  };
  const payload = await inputs.source.make(inputs.payload, inputs.architecture, watched);
  const baseLayers = await runStep(base.step, watched);
  const node = await workflow.node(payload, baseLayers);
  const layers = await runStep(node.step, watched);
  const tags = options.tags.length > 0 ? options.tags : [defaultTag(inputs.payload.versions.kubernetes, inputs.distribution.id)];
  const all = [
    ...baseLayers.layers.map((layer) => ({ layer, folder: baseLayers.folder, name: 'base' })),
    ...layers.layers.map(({ name, layer }) => ({ layer, folder: layers.folder, name })),
  ];
  const descriptor = await assembleImage(await ports.layout(), {
    architecture: inputs.architecture,
    created: inputs.payload.created,
    config: layers.config,
    labels: node.labels,
    layers: all,
    documents: [...node.documents].map(([name, content]) => ({ mediaType: DOCUMENT_TYPES[name] ?? 'application/json', content })),
    tags,
  });
  const compressed = all.reduce((sum, { layer }) => sum + layer.descriptor.size, 0);
  return { digest: descriptor.digest, tags, inputs, reused, size: { compressed, unpacked: layers.unpacked } };
}

interface Workflow extends AsyncDisposable {
  readonly inputs: ImageInputs;
  readonly base: Base;
  node(payload: Payload, baseLayers?: BaseLayers): Promise<NodeBuild>;
}

interface NodeBuild {
  readonly step: ReturnType<typeof nodeLayersStep>;
  readonly context: readonly ContextFile[];
  readonly labels: Readonly<Record<string, string>>;
  readonly documents: ReadonlyMap<string, string>;
}

async function prepare(
  options: ImageOptions,
  settings: BuildSettings,
  ports: ImagePorts,
  run: RunContext,
  lockUse: 'write the lock' | 'keep the lock as it is',
): Promise<Workflow> {
  const extraFiles = await readExtraFiles(options, settings.folder);
  const lock = await openLock(settings, ports, false);
  const inputs = await resolveInputs(options, lock, ports, run);
  if (lockUse === 'write the lock') await lock.save();
  noteOlderPatch(inputs, run);
  const sources = await ports.nodeSources();
  // Asked for by the first step that has to run, shared by all, ended with the workflow.
  let engine: Promise<ContainerEngine> | undefined;
  const useEngine = (): Promise<ContainerEngine> => (engine ??= ports.engine(settings.engine, run));
  const base = baseOf(inputs, sources, ports);
  return {
    inputs,
    base,
    node: async (payload, baseLayers) => {
      const build = await nodeContext(inputs, base, payload, extraFiles, sources, ports);
      const time = Math.floor(Date.parse(inputs.payload.created) / 1000);
      const step = nodeLayersStep(
        {
          base,
          baseLayers: async () => baseLayers ?? runStep(base.step, run),
          context: build.context,
          contextKey: build.key,
          architecture: inputs.architecture,
          time,
          noCache: settings.noCache,
          engine: useEngine,
        },
        ports,
      );
      return { ...build, step };
    },
    [Symbol.asyncDispose]: async () => {
      if (engine !== undefined)
        await engine.then(
          (started) => started[Symbol.asyncDispose](),
          () => undefined,
        );
    },
  };
}

async function nodeContext(
  inputs: ImageInputs,
  base: Base,
  payload: Payload,
  extraFiles: readonly HostFile[],
  sources: NodeSources,
  ports: ImagePorts,
): Promise<Omit<NodeBuild, 'step'> & { readonly key: Digest }> {
  const layout = payload.layout === undefined ? new Map<string, HostFile>() : await layoutFiles(payload.layout);
  const bare = nodeRequest(inputs, base, payload);
  const withoutDocuments = { request: bare, rendered: renderNode(bare, sources), sources, payloadFiles: payload.files, layout, extraFiles };
  const context = contextFiles({ ...withoutDocuments, documents: new Map() });
  const documents = documentsOf(inputs, payload, context, ports);
  const time = Math.floor(Date.parse(inputs.payload.created) / 1000);
  const key = contextKey(base.key, contextFiles({ ...withoutDocuments, documents }), time);
  const labels = labelsOf(inputs, key, ports);
  const request = { ...bare, labels };
  return {
    key,
    labels,
    documents,
    context: contextFiles({ ...withoutDocuments, request, rendered: renderNode(request, sources), documents }),
  };
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
  { kvci }: ImagePorts,
): Readonly<Record<string, string>> {
  return imageLabels({
    created: payload.created,
    kvciVersion: kvci.version,
    ...(kvci.revision === undefined ? {} : { revision: kvci.revision }),
    versions: payload.versions,
    payloadSource: payload.source,
    base: { id: distribution.id, title: distribution.title, ...(base.kind === 'published' ? { name: base.ref, digest: base.digest } : {}) },
    inputs,
    extra: options.labels,
  });
}

function documentsOf(
  { options, payload: lock, distribution, base }: ImageInputs,
  payload: Payload,
  context: readonly ContextFile[],
  { kvci }: ImagePorts,
): ReadonlyMap<string, string> {
  const system: SystemPackages =
    base.kind === 'debian'
      ? { kind: 'deb', distribution: distribution.id, set: base.set }
      : { kind: 'rpm', distribution: distribution.id, packages: [] };
  const published = base.kind === 'published' ? { name: base.ref, digest: base.digest } : undefined;
  // Tags and labels change nothing that is in the image.
  const { tags: _tags, labels: _labels, files, ...rest } = options;
  return new Map([
    [
      'sbom.cdx.json',
      sbomJson({
        created: lock.created,
        kvciVersion: kvci.version,
        image: { name: `kvci-node-${distribution.id}`, version: lock.versions.kubernetes },
        ...(published === undefined ? {} : { base: published }),
        system,
        payload: payload.components,
      }),
    ],
    [
      'provenance.json',
      provenanceJson({
        kvciVersion: kvci.version,
        // Where a file came from differs between users; its digest is in the context.
        options: { ...rest, files: files.map((text) => parseExtraFile(text).destination) },
        base: { id: distribution.id, ...published },
        system,
        payload: lock,
        components: payload.components,
        context,
      }),
    ],
  ]);
}

function noteOlderPatch({ payload }: ImageInputs, run: RunContext): void {
  if (payload.newerExists === undefined) return;
  run.events({
    type: 'problem',
    level: 'note',
    message: `Kubernetes ${payload.versions.kubernetes} is the newest patch that ${payload.source} serves whole; ${payload.newerExists} exists`,
  });
}

function openLock(
  { lockFile, locked }: Pick<BuildSettings, 'lockFile' | 'locked'>,
  ports: ImagePorts,
  update: boolean,
): Promise<LockSession> {
  return LockSession.open({ path: lockFile, locked, update, locks: ports.locks, runtimeFolder: ports.directories.runtime });
}

/** @throws KvciError `bad-file` for one that is not there or is no file */
async function readExtraFiles({ files }: ImageOptions, folder: string): Promise<readonly HostFile[]> {
  return Promise.all(
    files.map(async (text) => {
      const host = resolve(folder, parseExtraFile(text).source);
      try {
        return await hostFile(host);
      } catch (error) {
        if (!hasErrno(error, 'ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR')) throw error;
        throw new KvciError('usage', 'bad-file', `--file ${text}: ${host} cannot be read`, { cause: error });
      }
    }),
  );
}

/** Digest, size and whether it is executable; other mode bits follow the umask of whoever made the file. */
async function hostFile(host: string): Promise<HostFile> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(host), hash);
  const { size, mode } = await stat(host);
  return { host, size, mode: (mode & 0o100) === 0 ? 0o644 : 0o755, digest: `sha256:${hash.digest('hex')}` };
}

async function layoutFiles(folder: string): Promise<ReadonlyMap<string, HostFile>> {
  const names = ['oci-layout', 'index.json', ...(await readdir(join(folder, 'blobs/sha256'))).map((name) => `blobs/sha256/${name}`)];
  return new Map(await Promise.all(names.map(async (name) => [name, await hostFile(join(folder, name))] as const)));
}
