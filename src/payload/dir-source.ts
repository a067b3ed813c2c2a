import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

import { digestOf, type Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { type RunContext, runStep, type Step } from '../core/plan.ts';
import { minorOf, type VersionRequest } from '../core/versions.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ArtifactStore, CommandRunner } from '../host/types.ts';
import { loadArchive } from '../oci/archive-load.ts';
import { readImageAt } from '../oci/image.ts';
import { createLayout, type LayoutTools } from '../oci/layout.ts';
import { tagManifest } from '../oci/manifests.ts';
import { digestAll, type FolderFile, folderFileSchema, listFolder, missingPrograms, PLACES } from './dir-folder.ts';
import { askKubeadm, versionsOf } from './release-kubeadm.ts';
import { readInputs } from './release-lock.ts';
import type { Architecture, Payload, PayloadFile, PayloadImage, PayloadLock, PayloadSource } from './types.ts';

export interface DirectoryParts {
  /** The folder, absolute. */
  readonly path: string;
  readonly commands: CommandRunner;
  readonly store: ArtifactStore;
  readonly layoutTools: LayoutTools;
  readonly hostArchitecture: Architecture;
}

const inputsSchema = z.strictObject({
  programs: z.array(folderFileSchema),
  archives: z.array(folderFileSchema),
  images: z.array(z.string()),
});
type DirectoryInputs = z.output<typeof inputsSchema>;

const IMAGES_KIND = 'folder-images';

/**
 * Somebody's own build: a folder with programs (`kubelet`, `bin/kubelet`, or as Kubernetes' own build leaves them below
 * `local/bin/linux/ARCH`) and image archives (`*.tar`, docker or OCI, also below `images/` and `release-images/ARCH`).
 */
export function directorySource(parts: DirectoryParts): PayloadSource {
  return new DirectorySource(parts);
}

class DirectorySource implements PayloadSource {
  readonly name = 'dir';
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  async probe(): Promise<{ readonly usable: boolean; readonly reason: string }> {
    const { path, hostArchitecture } = this.#parts;
    const missing = missingPrograms(await listFolder(path, hostArchitecture));
    return missing.length === 0
      ? { usable: true, reason: `${path} has them` }
      : { usable: false, reason: `${path} has no ${missing.join(', ')}` };
  }

  async resolve(request: VersionRequest, architecture: Architecture, run: RunContext): Promise<PayloadLock> {
    const { path, commands, hostArchitecture } = this.#parts;
    const files = await listFolder(path, architecture);
    const missing = missingPrograms(files);
    if (missing.length > 0) {
      throw new KvciError('notFoundOrExists', 'payload-incomplete', `${path} has no ${missing.join(', ')}`, {
        hint: 'Put kubelet, kubeadm and kubectl there or into its folder bin/.',
        facts: { path, missing },
      });
    }
    if (architecture !== hostArchitecture)
      throw new KvciError(
        'usage',
        'foreign-architecture',
        `kubeadm of ${path} for ${architecture} cannot be asked for its images on this ${hostArchitecture} host`,
      );
    const kubeadm = await askKubeadm(commands, join(path, files.programs.get('kubeadm') ?? ''), run.signal);
    if (!answers(request, kubeadm.version)) {
      const asked = request.kind === 'minor' ? request.minor : request.kind === 'exact' ? request.version : 'stable';
      throw new KvciError('notFoundOrExists', 'version-not-served', `${path} holds Kubernetes ${kubeadm.version}, not ${asked}`, {
        hint: `Ask for --k8s ${kubeadm.version}.`,
        facts: { served: [kubeadm.version] },
      });
    }
    const inputs: DirectoryInputs = {
      programs: await digestAll(path, [...files.programs.values()]),
      archives: await digestAll(path, files.archives),
      images: [...kubeadm.images],
    };
    return { source: 'dir', versions: versionsOf(kubeadm), created: kubeadm.buildDate, inputs };
  }

  key(lock: PayloadLock): Digest {
    const { programs, archives, images } = inputsOf(lock);
    return digestOf({ version: 1, programs: programs.map(({ digest }) => digest), images: imagesKey(archives, images) });
  }

  async make(lock: PayloadLock, architecture: Architecture, run: RunContext): Promise<Payload> {
    const inputs = inputsOf(lock);
    await this.#unchanged([...inputs.programs, ...inputs.archives]);
    return this.#payload(lock, inputs, await runStep(this.#imagesStep(lock, inputs, architecture), run), architecture);
  }

  async find(lock: PayloadLock, architecture: Architecture): Promise<Payload | undefined> {
    const inputs = inputsOf(lock);
    const images = await this.#parts.store.find(IMAGES_KIND, imagesKey(inputs.archives, inputs.images));
    if (images === undefined) return undefined;
    const now = await digestAll(
      this.#parts.path,
      inputs.programs.map(({ path }) => path),
    ).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT')) return [];
      throw error;
    });
    const same = inputs.programs.every(({ digest }, index) => now[index]?.digest === digest);
    return same ? this.#payload(lock, inputs, images, architecture) : undefined;
  }

  /** @throws KvciError `payload-changed` */
  async #unchanged(files: readonly FolderFile[]): Promise<void> {
    for (const file of files) {
      const [now] = await digestAll(this.#parts.path, [file.path]);
      if (now?.digest === file.digest) continue;
      throw new KvciError('failed', 'payload-changed', `${join(this.#parts.path, file.path)} is not the file that the lock names`, {
        hint: 'Run "kvci image lock --update" to take the folder as it is now.',
        facts: { expected: file.digest, found: now?.digest },
      });
    }
  }

  #imagesStep(lock: PayloadLock, { archives, images }: DirectoryInputs, architecture: Architecture): Step<Artifact> {
    const { store, layoutTools, path } = this.#parts;
    const key = imagesKey(archives, images);
    return {
      id: 'payload.images',
      title: 'Control-plane images',
      why: `not read from ${path} yet`,
      find: () => store.find(IMAGES_KIND, key),
      make: (context) =>
        store.make({
          kind: IMAGES_KIND,
          key,
          title: `Control-plane images of ${lock.versions.kubernetes} from a folder`,
          inputs: { archives, images },
          signal: context.signal,
          build: async (folder) => {
            const layout = await createLayout(join(folder, 'layout'), layoutTools);
            const loaded: { readonly ref: string; readonly manifest: Digest }[] = [];
            for (const [index, archive] of archives.entries()) {
              context.progress(index, archives.length, 'items', archive.path);
              for (const { descriptor, refs } of await loadArchive(layout, createReadStream(join(path, archive.path)), { tag: false })) {
                const { descriptor: image } = await readImageAt(layout, descriptor, architecture);
                loaded.push(...refs.map((ref) => ({ ref, manifest: image.digest })));
              }
            }
            const chosen = images.map((ref) => ({ ref, manifest: loaded.find((one) => fits(one.ref, ref, architecture))?.manifest }));
            const missing = chosen.filter(({ manifest }) => manifest === undefined).map(({ ref }) => ref);
            if (missing.length > 0) throw imagesMissing(path, missing);
            const found = chosen.flatMap(({ ref, manifest }) => (manifest === undefined ? [] : [{ ref, manifest }]));
            for (const { ref, manifest } of found) await tagManifest(layout, manifest, ref);
            return found;
          },
        }),
    };
  }

  #payload(lock: PayloadLock, inputs: DirectoryInputs, images: Artifact, architecture: Architecture): Payload {
    const files = inputs.programs.map(({ path, digest, size }): PayloadFile => {
      const name = path.slice(path.lastIndexOf('/') + 1);
      return { path: PLACES[name] ?? `/usr/bin/${name}`, source: join(this.#parts.path, path), mode: 0o755, digest, size };
    });
    return {
      source: 'dir',
      versions: lock.versions,
      created: lock.created,
      architecture,
      files,
      images: factsOf(images, imagesSchema),
      layout: join(images.path, 'layout'),
      repository: undefined,
      components: [...inputs.programs, ...inputs.archives].map(({ path, digest }) => {
        const name = path.slice(path.lastIndexOf('/') + 1);
        const version = lock.versions.kubernetes;
        return {
          purl: `pkg:generic/${encodeURIComponent(name)}@${encodeURIComponent(version)}?checksum=${encodeURIComponent(digest)}`,
          name,
          version,
          digest,
        };
      }),
    };
  }
}

const imagesSchema: z.ZodType<PayloadImage[]> = z.array(z.object({ ref: z.string(), manifest: digestSchema }));

function inputsOf(lock: PayloadLock): DirectoryInputs {
  return readInputs(inputsSchema, lock, 'dir');
}

function imagesKey(archives: readonly FolderFile[], images: readonly string[]): Digest {
  return digestOf({ version: 1, archives: archives.map(({ digest }) => digest).toSorted(), images });
}

function answers(request: VersionRequest, version: string): boolean {
  return request.kind === 'exact'
    ? request.version === version.replace(/\+.*$/, '') || request.version === version
    : request.kind === 'stable' || request.minor === minorOf(version);
}

/** Kubernetes' own build names its images by architecture too: `registry.k8s.io/kube-proxy-amd64:v1.37.0`. */
function fits(there: string, wanted: string, architecture: Architecture): boolean {
  return there === wanted || there.replace(`-${architecture}:`, ':') === wanted;
}

function imagesMissing(path: string, missing: readonly string[]): KvciError {
  return new KvciError(
    'notFoundOrExists',
    'payload-incomplete',
    `the archives of ${path} lack images that kubeadm asks for: ${missing.join(', ')}`,
    {
      hint: 'Save each as a .tar there, for example with "skopeo copy docker://REF docker-archive:NAME.tar:REF".',
      facts: { missing },
    },
  );
}
