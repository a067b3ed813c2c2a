import type { Digest } from '../core/digest.ts';
import type { PlannedStep } from '../core/events.ts';
import { planStep, type RunContext, runStep, type Step } from '../core/plan.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { ContainerEngine } from '../host/types.ts';
import type { Payload } from '../payload/types.ts';
import { requireForeignPrograms } from '../sandbox/foreign-programs.ts';
import { assembleImage } from './assemble.ts';
import { type Base, baseOf } from './base-layers.ts';
import type { ContextFile } from './context.ts';
import { readExtraFiles } from './host-files.ts';
import { type ImageInputs, resolveInputs } from './inputs.ts';
import { LockSession } from './lock-session.ts';
import { nodeContext, type NodeContext } from './node-context.ts';
import { type NodeLayers, nodeLayersStep } from './node-layers.ts';
import type { ImageOptions } from './options.ts';
import type { ImagePorts } from './ports.ts';
import { type PreloadedImage, type PreloadedPayload, preloadStep } from './preload.ts';
import type { BaseLayers } from './published-base.ts';

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
  /** Images beside those of the control plane, as they were asked for. */
  readonly preloaded: readonly PreloadedImage[];
  /** Bytes: all layers as stored, and all files in them. */
  readonly size: { readonly compressed: number; readonly unpacked: number };
}

/** The first tag of a node image, when nobody names one. */
function defaultTag(kubernetes: string, base: string): string {
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
  noteForeign(workflow.inputs, ports, run);
  return await planSteps(workflow);
}

async function planSteps(workflow: Workflow): Promise<readonly PlannedStep[]> {
  const { inputs, base } = workflow;
  const payload = await inputs.source.find(inputs.payload, inputs.architecture);
  const payloadStep: PlannedStep = {
    id: 'payload',
    title: `Kubernetes ${inputs.payload.versions.kubernetes} from ${inputs.source.name}`,
    action: payload === undefined ? 'run' : 'reuse',
    reason: payload === undefined ? 'not made yet' : 'same inputs',
  };
  const preload = payload === undefined ? undefined : workflow.preload(payload);
  const whole = preload === undefined ? payload : (await preload.find())?.payload;
  const nodeStep: PlannedStep =
    whole === undefined
      ? { id: 'node', title: 'node image layers', action: 'run', reason: 'the payload, or what is preloaded, is new' }
      : await planStep((await workflow.node(whole)).step);
  return [payloadStep, ...(preload === undefined ? [] : [await planStep(preload)]), await planStep(base.step), nodeStep];
}

/** Everything of an image's build context, without building. The payload is made: the context lists its digests. */
export async function renderBuild(
  options: ImageOptions,
  settings: BuildSettings,
  ports: ImagePorts,
  run: RunContext,
): Promise<readonly ContextFile[]> {
  await using workflow = await prepare(options, settings, ports, run, 'write the lock');
  noteForeign(workflow.inputs, ports, run);
  const { payload } = await wholePayload(workflow, run);
  return (await workflow.node(payload)).files;
}

/** Builds a node image into kvci's store. */
export async function buildImage(options: ImageOptions, settings: BuildSettings, ports: ImagePorts, run: RunContext): Promise<BuiltNode> {
  await using workflow = await prepare(options, settings, ports, run, 'write the lock');
  const { inputs, base } = workflow;
  if (isForeign(inputs, ports) && (await planSteps(workflow)).some(({ action }) => action === 'run')) {
    await using host = await ports.debian(run.signal);
    await requireForeignPrograms(inputs.architecture, ports.hostArchitecture, host);
  }
  let reused = true;
  const watched: RunContext = {
    ...run,
    events: (event) => {
      if (event.type === 'step.end' && event.status !== 'reused') reused = false;
      run.events(event);
    },
  };
  const { payload, preloaded } = await wholePayload(workflow, watched);
  const baseLayers = await runStep(base.step, watched);
  const node = await workflow.node(payload, baseLayers);
  const layers = await runStep(node.step, watched);
  const tags = options.tags.length > 0 ? options.tags : [defaultTag(inputs.payload.versions.kubernetes, inputs.distribution.id)];
  const all = [
    ...baseLayers.layers.map((layer) => ({ layer, folder: baseLayers.folder, name: 'base' })),
    ...layers.layers.map(({ name, layer }) => ({ layer, folder: layers.folder, name })),
  ];
  const revision = await ports.kvci.revision();
  const descriptor = await assembleImage(await ports.layout(), {
    architecture: inputs.architecture,
    created: inputs.payload.created,
    config: layers.config,
    labels: node.labels,
    layers: all,
    documents: (image) => node.documents(layers.installed, { image, revision }),
    tags,
  });
  const compressed = all.reduce((sum, { layer }) => sum + layer.descriptor.size, 0);
  return { digest: descriptor.digest, tags, inputs, reused, preloaded, size: { compressed, unpacked: layers.unpacked } };
}

/** The payload of a workflow, with what is preloaded beside it. */
async function wholePayload(workflow: Workflow, run: RunContext): Promise<PreloadedPayload> {
  const { inputs } = workflow;
  const payload = await inputs.source.make(inputs.payload, inputs.architecture, run);
  const step = workflow.preload(payload);
  return step === undefined ? { payload, preloaded: [] } : runStep(step, run);
}

function isForeign({ architecture }: ImageInputs, { hostArchitecture }: ImagePorts): boolean {
  return architecture !== hostArchitecture;
}

function noteForeign(inputs: ImageInputs, ports: ImagePorts, run: RunContext): void {
  if (!isForeign(inputs, ports)) return;
  run.events({
    type: 'problem',
    level: 'note',
    message: `building for ${inputs.architecture} on this ${ports.hostArchitecture} host needs emulation (QEMU in binfmt_misc) for RUN steps; Go cross-compiles without`,
  });
}

interface Workflow extends AsyncDisposable {
  readonly inputs: ImageInputs;
  readonly base: Base;
  /** Undefined where nothing is to be preloaded. */
  preload(payload: Payload): Step<PreloadedPayload> | undefined;
  node(payload: Payload, baseLayers?: BaseLayers): Promise<NodeContext & { readonly step: Step<NodeLayers> }>;
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
  const sources = await ports.nodeSources();
  // Asked for by the first step that has to run, shared by all, ended with the workflow.
  let engine: Promise<ContainerEngine> | undefined;
  const useEngine = (): Promise<ContainerEngine> => (engine ??= ports.engine(settings.engine, run));
  const base = baseOf(inputs, sources, ports);
  return {
    inputs,
    base,
    preload: (payload) => {
      const { preload: wanted = [] } = options;
      return wanted.length === 0 ? undefined : preloadStep(payload, wanted, settings.engine, ports, run);
    },
    node: async (payload, baseLayers) => {
      const node = await nodeContext(inputs, base, payload, extraFiles, sources, ports.kvci);
      const step = nodeLayersStep(
        {
          title: `Kubernetes ${payload.versions.kubernetes} node on ${inputs.distribution.title}, ${inputs.architecture}`,
          base,
          baseLayers: async () => baseLayers ?? runStep(base.step, run),
          context: node.files,
          contextKey: node.key,
          architecture: inputs.architecture,
          time: node.time,
          documents: inputs.base.kind === 'published' ? node.documents : undefined,
          noCache: settings.noCache,
          engine: useEngine,
        },
        ports,
      );
      return { ...node, step };
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

function openLock(
  { lockFile, locked }: Pick<BuildSettings, 'lockFile' | 'locked'>,
  ports: ImagePorts,
  update: boolean,
): Promise<LockSession> {
  return LockSession.open({ path: lockFile, locked, update, locks: ports.locks, runtimeFolder: ports.directories.runtime });
}
