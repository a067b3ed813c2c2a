import { join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import { type RunContext, runStep, type Step } from '../core/plan.ts';
import type { VersionRequest } from '../core/versions.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ArtifactStore, CommandRunner } from '../host/types.ts';
import { createLayout, type LayoutTools } from '../oci/layout.ts';
import { buildGroups, programRequests } from './build-groups.ts';
import { assembleImages, IMAGES_VERSION } from './control-plane-images.ts';
import type { GoClient } from './go-client.ts';
import type { ProgramSources } from './go-module-folder.ts';
import { findPrograms, type GoPrograms, program, programsKey } from './go-programs.ts';
import { type ModulesInputs, modulesInputs } from './modules-lock.ts';
import { ModulesResolver } from './modules-resolve.ts';
import type { Architecture, Payload, PayloadImage, PayloadLock, PayloadSource } from './types.ts';
import type { UserlandSource } from './userland.ts';

const IMAGES_KIND = 'control-plane-images';

/** What the node itself runs; the rest of the programs is in images. */
const NODE_PROGRAMS = ['kubelet', 'kubeadm', 'kubectl', 'containerd', 'containerd-shim-runc-v2', 'ctr'] as const;

export interface ModulesParts {
  readonly go: GoClient;
  readonly commands: CommandRunner;
  readonly store: ArtifactStore;
  readonly sources: ProgramSources;
  readonly layoutTools: LayoutTools;
  readonly userland: UserlandSource;
  /** The host's own: built programs of it are asked what they are. */
  readonly hostArchitecture: Architecture;
}

/** Kubernetes and friends built with the host's Go from a Go module proxy: needs no release server and no image registry. */
export function modulesSource(parts: ModulesParts): PayloadSource {
  return new ModulesSource(parts);
}

class ModulesSource implements PayloadSource {
  readonly name = 'modules';
  readonly #parts: ModulesParts;

  constructor(parts: ModulesParts) {
    this.#parts = parts;
  }

  async probe(): Promise<{ readonly usable: boolean; readonly reason: string }> {
    try {
      const version = await this.#parts.go.hostVersion();
      const served = await this.#parts.go.versions('k8s.io/kubernetes', new AbortController().signal);
      return served.length === 0
        ? { usable: false, reason: 'the Go module proxy does not serve k8s.io/kubernetes' }
        : { usable: true, reason: `Go ${version} is here and its module proxy serves k8s.io/kubernetes` };
    } catch (error) {
      if (error instanceof KvciError) return { usable: false, reason: error.message.split('\n', 1)[0] ?? error.code };
      throw error;
    }
  }

  async resolve(request: VersionRequest, architecture: Architecture, run: RunContext): Promise<PayloadLock> {
    const lock = await ModulesResolver.resolve(this.#parts.go, this.#parts.sources, request, architecture, run);
    const userland = await this.#parts.userland.resolve(architecture, run);
    return { ...lock, inputs: { ...lock.inputs, userland } satisfies ModulesInputs };
  }

  key(lock: PayloadLock, architecture: Architecture): Digest {
    return this.#imagesKey(lock, modulesInputs(lock), architecture);
  }

  async make(lock: PayloadLock, architecture: Architecture, run: RunContext): Promise<Payload> {
    const inputs = modulesInputs(lock);
    const requests = programRequests(lock, inputs, architecture);
    const groups = await buildGroups(requests, this.#parts, run);
    await this.#checkImageRefs(lock, inputs, groups, architecture, run);
    const images = await runStep(this.#imagesStep(lock, inputs, groups, architecture, run), run);
    return this.#payload(lock, inputs, groups, images, architecture);
  }

  async find(lock: PayloadLock, architecture: Architecture): Promise<Payload | undefined> {
    const inputs = modulesInputs(lock);
    const requests = programRequests(lock, inputs, architecture);
    const groups = await Promise.all(requests.map((request) => findPrograms(request, this.#parts)));
    const images = await this.#parts.store.find(IMAGES_KIND, this.#imagesKey(lock, inputs, architecture));
    const found = groups.filter((group) => group !== undefined);
    return images === undefined || found.length < groups.length ? undefined : this.#payload(lock, inputs, found, images, architecture);
  }

  /** Asks the built kubeadm which images it wants: what it prints is what a node will look for. */
  async #checkImageRefs(
    lock: PayloadLock,
    inputs: ModulesInputs,
    groups: readonly GoPrograms[],
    architecture: Architecture,
    run: RunContext,
  ): Promise<void> {
    if (architecture !== this.#parts.hostArchitecture) return;
    const version = `v${lock.versions.kubernetes}`;
    const { stdout } = await this.#parts.commands.run(
      [program(groups, 'kubeadm').path, 'config', 'images', 'list', '--kubernetes-version', version],
      { signal: run.signal },
    );
    const asked = stdout.split('\n').filter((line) => line !== '');
    const given = new Set<string>(Object.values(inputs.images));
    const missing = asked.filter((ref) => !given.has(ref));
    if (missing.length === 0 && asked.length === given.size) return;
    throw new KvciError(
      'failed',
      'image-refs-differ',
      `kubeadm ${version} asks for images that kvci did not expect: ${missing.join(', ')}`,
      {
        hint: 'Please report this: upstream changed how kubeadm names its images.',
        facts: { asked, given: [...given] },
      },
    );
  }

  #imagesStep(
    lock: PayloadLock,
    inputs: ModulesInputs,
    groups: readonly GoPrograms[],
    architecture: Architecture,
    run: RunContext,
  ): Step<Artifact> {
    const { store, layoutTools, userland } = this.#parts;
    const key = this.#imagesKey(lock, inputs, architecture);
    return {
      id: 'payload.images',
      title: 'Control-plane images',
      why: 'not made from these programs yet',
      find: () => store.find(IMAGES_KIND, key),
      make: (context) =>
        store.make({
          kind: IMAGES_KIND,
          key,
          title: `Control-plane images of Kubernetes ${lock.versions.kubernetes} (${architecture})`,
          inputs: { versions: lock.versions, architecture, refs: Object.values(inputs.images) },
          signal: context.signal,
          build: async (folder) => {
            await using opened = await userland.open(inputs.userland, { ...run, signal: context.signal });
            const layout = await createLayout(join(folder, 'layout'), layoutTools);
            return await assembleImages(layout, {
              refs: inputs.images,
              architecture,
              created: lock.created,
              programs: new Map(groups.flatMap((group) => [...group.programs])),
              userland: opened,
            });
          },
        }),
    };
  }

  #imagesKey(lock: PayloadLock, inputs: ModulesInputs, architecture: Architecture): Digest {
    return digestOf({
      version: IMAGES_VERSION,
      programs: programRequests(lock, inputs, architecture).map((request) => programsKey(request, this.#parts.sources)),
      refs: inputs.images,
      created: lock.created,
      userland: this.#parts.userland.key(inputs.userland),
    });
  }

  #payload(lock: PayloadLock, inputs: ModulesInputs, groups: readonly GoPrograms[], images: Artifact, architecture: Architecture): Payload {
    const components = new Map(groups.flatMap((group) => group.components.map((one) => [one.purl, one] as const)));
    for (const one of this.#parts.userland.components(inputs.userland)) components.set(one.purl, one);
    return {
      source: 'modules',
      versions: lock.versions,
      created: lock.created,
      architecture,
      files: NODE_PROGRAMS.map((name) => {
        const { path, digest, size } = program(groups, name);
        return { path: `/usr/bin/${name}`, source: path, mode: 0o755, digest, size };
      }),
      images: factsOf(images, imagesSchema),
      layout: join(images.path, 'layout'),
      repository: undefined,
      components: [...components.values()].toSorted((a, b) => (a.purl < b.purl ? -1 : 1)),
    };
  }
}

const imagesSchema: z.ZodType<PayloadImage[]> = z.array(z.object({ ref: z.string(), manifest: digestSchema }));
