import { chmod, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { type RunContext, runStep, type Step } from '../core/plan.ts';
import { minorOf, type VersionRequest } from '../core/versions.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, CommandRunner } from '../host/types.ts';
import { fetchLocked, type FileParts, payloadFile, placeFiles, storedFileSchema } from './release-files.ts';
import { lockCrio } from './packages-crio.ts';
import { lockedRepositorySchema, repositoryComponents, repositoryOf } from './packages-lock.ts';
import { findImages, imageComponent, type ImageParts, imagesKey, imagesOf, imagesStep, lockImages } from './release-images.ts';
import { askKubeadm, type KubeadmFacts, versionsOf } from './release-kubeadm.ts';
import { type LockedFile, lockedFileSchema, lockedImageSchema, readInputs } from './release-lock.ts';
import {
  CNI_PLUGINS,
  CONTAINERD_PROGRAMS_OF_RELEASES,
  CRICTL,
  KUBERNETES_PROGRAMS,
  readChecksum,
  type ReleaseComponent,
} from './release-servers.ts';
import { crictlVersion, githubVersions, marker, newestIn, notServed, orUndefined, servedKubernetes } from './release-versions.ts';
import { payloadRule } from './rules.ts';
import { newerPatch } from './served-versions.ts';
import type { Architecture, Payload, PayloadComponent, PayloadLock, PayloadSource } from './types.ts';

export interface ReleaseParts extends FileParts, ImageParts {
  /** Runs kubeadm, to ask it for its images. */
  readonly commands: CommandRunner;
  readonly hostArchitecture: Architecture;
  /** False for distributions that run CRI-O from packages. */
  readonly containerd: boolean;
}

const FILES_KIND = 'release-files';

const inputsSchema = z.strictObject({
  files: z.array(lockedFileSchema),
  images: z.array(lockedImageSchema),
  /** CRI-O, on distributions that run it. */
  runtime: lockedRepositorySchema.optional(),
});
type ReleaseInputs = z.output<typeof inputsSchema>;

/** Kubernetes as upstream publishes it: programs by published sha256, images by digest. */
export function releaseSource(parts: ReleaseParts): PayloadSource {
  return new ReleaseSource(parts);
}

class ReleaseSource implements PayloadSource {
  readonly name = 'release';
  readonly #parts: ReleaseParts;

  constructor(parts: ReleaseParts) {
    this.#parts = parts;
  }

  async probe(): Promise<{ readonly usable: boolean; readonly reason: string }> {
    const { kubernetes } = this.#parts.servers;
    const usable = await this.#parts.downloads.answers(`${kubernetes}/release/stable.txt`);
    return { usable, reason: usable ? `${kubernetes} answers` : `${kubernetes} does not answer` };
  }

  async resolve(request: VersionRequest, architecture: Architecture, run: RunContext): Promise<PayloadLock> {
    const { version, newer } = await resolveKubernetes(request, this.#parts, run.signal);
    const programs = await Promise.all(KUBERNETES_PROGRAMS.map((component) => this.#lock(component, version, architecture, run.signal)));
    const others = await this.#others(version, architecture, run.signal);
    const kubeadm = await kubeadmOf(version, this.#parts, run.signal);
    const images = await lockImages(kubeadm.images, architecture, this.#parts, run.signal);
    const containerd = others.find(({ component }) => component === 'containerd')?.version;
    const runtime = this.#parts.containerd ? undefined : await lockCrio(version, architecture, this.#parts, run.signal);
    const inputs: ReleaseInputs = { files: [...programs, ...others], images, ...(runtime === undefined ? {} : { runtime }) };
    return {
      source: 'release',
      versions: { ...versionsOf(kubeadm), ...(containerd === undefined ? {} : { containerd }) },
      created: kubeadm.buildDate,
      ...(newer === undefined ? {} : { newerExists: newer }),
      inputs,
    };
  }

  key(lock: PayloadLock): Digest {
    const { files, images, runtime } = inputsOf(lock);
    return digestOf({ files: this.#filesKey(files), images: imagesKey(images), runtime });
  }

  async make(lock: PayloadLock, architecture: Architecture, run: RunContext): Promise<Payload> {
    const inputs = inputsOf(lock);
    const files = await runStep(this.#filesStep(lock, inputs.files), run);
    const images = await runStep(imagesStep(lock.versions.kubernetes, inputs.images, architecture, this.#parts), run);
    return this.#payload(lock, inputs, files, images, architecture);
  }

  async find(lock: PayloadLock, architecture: Architecture): Promise<Payload | undefined> {
    const inputs = inputsOf(lock);
    const files = await this.#parts.store.find(FILES_KIND, this.#filesKey(inputs.files));
    const images = await findImages(inputs.images, this.#parts.store);
    return files === undefined || images === undefined ? undefined : this.#payload(lock, inputs, files, images, architecture);
  }

  /** What belongs to a node besides Kubernetes, at the newest versions that fit. */
  async #others(kubernetes: string, architecture: Architecture, signal: AbortSignal): Promise<LockedFile[]> {
    const components = [...(this.#parts.containerd ? CONTAINERD_PROGRAMS_OF_RELEASES : []), CNI_PLUGINS, CRICTL];
    return Promise.all(
      components.map(async (component) => {
        const versions = await githubVersions(this.#parts.downloads, this.#parts.servers.api, component.repository ?? '', signal);
        const range = component.name === 'containerd' ? (payloadRule(kubernetes)?.containerd ?? '*') : '*';
        const version = component === CRICTL ? crictlVersion(versions, kubernetes) : newestIn(versions, range, component.name);
        return this.#lock(component, version, architecture, signal);
      }),
    );
  }

  #lock(component: ReleaseComponent, version: string, architecture: Architecture, signal: AbortSignal): Promise<LockedFile> {
    return lockFile(component, version, architecture, this.#parts, signal);
  }

  #filesKey(files: readonly LockedFile[]): Digest {
    return digestOf({ version: 1, files: files.map(({ component, sha256 }) => ({ component, sha256 })) });
  }

  #filesStep(lock: PayloadLock, files: readonly LockedFile[]): Step<Artifact> {
    const key = this.#filesKey(files);
    return {
      id: 'payload.files',
      title: `Kubernetes ${lock.versions.kubernetes}`,
      why: 'not downloaded yet',
      find: () => this.#parts.store.find(FILES_KIND, key),
      make: (context) =>
        this.#parts.store.make({
          kind: FILES_KIND,
          key,
          title: `Programs of Kubernetes ${lock.versions.kubernetes}`,
          inputs: { files },
          signal: context.signal,
          build: (folder) => placeFiles(files, folder, this.#parts, context),
        }),
    };
  }

  #payload(lock: PayloadLock, inputs: ReleaseInputs, files: Artifact, images: Artifact, architecture: Architecture): Payload {
    const { runtime } = inputs;
    return {
      source: 'release',
      versions: lock.versions,
      created: lock.created,
      architecture,
      files: factsOf(files, z.array(storedFileSchema)).map((file) => payloadFile(files.path, file)),
      ...imagesOf(images),
      repository: undefined,
      ...(runtime === undefined ? {} : { runtimeRepository: repositoryOf(runtime, this.#parts.servers) }),
      components: [
        ...inputs.files.map(fileComponent),
        ...inputs.images.map(imageComponent),
        ...(runtime === undefined ? [] : repositoryComponents(runtime, architecture)),
      ].toSorted((a, b) => (a.purl < b.purl ? -1 : 1)),
    };
  }
}

function inputsOf(lock: PayloadLock): ReleaseInputs {
  return readInputs(inputsSchema, lock, 'release');
}

/** https://github.com/package-url/purl-spec/blob/main/types-doc/generic-definition.md */
function fileComponent({ component, version, sha256 }: LockedFile): PayloadComponent {
  const purl = `pkg:generic/${component}@${encodeURIComponent(version)}?checksum=${encodeURIComponent(sha256)}`;
  return { purl, name: component, version, digest: sha256 };
}

/** The exact version for a request, and the newest patch of its minor where that is another. @throws KvciError `version-not-served` */
async function resolveKubernetes(
  request: VersionRequest,
  { downloads, servers }: Pick<FileParts, 'downloads' | 'servers'>,
  signal: AbortSignal,
): Promise<{ readonly version: string; readonly newer: string | undefined }> {
  const server = servers.kubernetes;
  const name = request.kind === 'stable' ? 'stable' : `stable-${request.kind === 'minor' ? request.minor : minorOf(request.version)}`;
  const newest = await marker(downloads, server, name, signal);
  const version = request.kind === 'exact' ? request.version : newest;
  if (version === undefined) throw notServed(request, server, await servedKubernetes(downloads, server, signal));
  return { version, newer: newest === undefined ? undefined : newerPatch(version, [newest]) };
}

/**
 * A component's file with the digest that upstream publishes beside it.
 *
 * @throws KvciError `version-not-served`, `checksum-missing`
 */
export async function lockFile(
  component: ReleaseComponent,
  version: string,
  architecture: Architecture,
  { downloads, servers }: Pick<FileParts, 'downloads' | 'servers'>,
  signal: AbortSignal,
): Promise<LockedFile> {
  const server = component.repository === undefined ? 'kubernetes' : 'downloads';
  const path = component.path(version, architecture);
  const url = `${servers[server]}${component.checksum(version, architecture)}`;
  const text = await orUndefined(downloads.text({ url, signal }));
  if (text !== undefined) return { component: component.name, version, server, path, sha256: readChecksum(text, basename(path), url) };
  if (server === 'kubernetes')
    throw notServed({ kind: 'exact', version }, servers.kubernetes, await servedKubernetes(downloads, servers.kubernetes, signal));
  throw new KvciError('notFoundOrExists', 'version-not-served', `${component.name} ${version} is not served: ${url}`);
}

/** Asks the release's own kubeadm, of this host's architecture, which images it wants. */
export async function kubeadmOf(
  version: string,
  parts: FileParts & Pick<ReleaseParts, 'commands' | 'hostArchitecture'>,
  signal: AbortSignal,
): Promise<KubeadmFacts> {
  const component = KUBERNETES_PROGRAMS.find(({ name }) => name === 'kubeadm');
  if (component === undefined) throw new KvciError('bug', 'no-kubeadm', 'kubeadm is not among the programs of a release');
  const locked = await lockFile(component, version, parts.hostArchitecture, parts, signal);
  const folder = await mkdtemp(join(tmpdir(), 'kvci-kubeadm-'));
  try {
    const program = join(folder, 'kubeadm');
    await copyFile(await fetchLocked(locked, parts, signal), program);
    await chmod(program, 0o755);
    return await askKubeadm(parts.commands, program, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
