import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { digestOf, type Digest, shortDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { Step, StepContext } from '../core/plan.ts';
import { BASE_TAR, debianBaseKey, debianLayout, makeDebianBase } from '../distro/debian-base.ts';
import type { Artifact, ContainerEngine } from '../host/types.ts';
import { loadArchive } from '../oci/archive-load.ts';
import { putBlob } from '../oci/blobs.ts';
import { compress, LAYER_MEDIA_TYPES } from '../oci/compression.ts';
import { layersOf, readImageAt } from '../oci/image.ts';
import { describeLayer, openLayer } from '../oci/layer.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Layer } from '../oci/types.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import type { ImageInputs } from './inputs.ts';
import type { ImagePorts } from './ports.ts';
import type { NodeSources } from './sources.ts';

const KIND = 'base-layers';

/** Raise when the same base gives other blobs. */
const FORMAT = 1;

/** The layers that a node image starts with, in a layout of their own. */
export interface BaseLayers {
  readonly folder: string;
  readonly layers: readonly Layer[];
}

/** The base of an image: what its Containerfile's FROM names, and its layers. */
export interface Base {
  readonly key: Digest;
  /** What FROM names. */
  readonly from: string;
  readonly step: Step<BaseLayers>;
  /** Makes sure that the engine has what FROM names. */
  readonly provide: (engine: ContainerEngine, layers: BaseLayers, context: StepContext) => Promise<void>;
}

/** The base as the inputs have it. `engine` is asked for only where a published image has to be pulled. */
export function baseOf(inputs: ImageInputs, sources: NodeSources, ports: ImagePorts, engine: () => Promise<ContainerEngine>): Base {
  return inputs.base.kind === 'debian'
    ? debianBase(inputs.base.set, inputs.distribution.title, sources, ports)
    : publishedBase(inputs.base, ports, engine);
}

function debianBase(set: DebianPackageSet, distribution: string, sources: NodeSources, ports: ImagePorts): Base {
  const layout = debianLayout(sources.node);
  const key = digestOf({ base: debianBaseKey(set, layout), format: FORMAT });
  const from = `localhost/kvci/base:${shortDigest(key)}`;
  const title = `${distribution} base`;
  return {
    key,
    from,
    step: layersStep(ports, key, title, 'its packages or layout changed', async (target, context) => {
      await using debian = await ports.debian(context.signal, context.output);
      const repository = await ports.debianRepository(set, debian, (done, total) => {
        context.progress(done, total, 'bytes', 'Debian packages');
      });
      const made = await makeDebianBase(set, layout, { store: ports.store, host: debian, repository });
      const layer = await packedLayer(target, createReadStream(join(made.path, BASE_TAR)));
      // The blob has it all: the engine gets it unpacked from there.
      await ports.store.remove(made);
      return [layer];
    }),
    provide: async (target, { folder, layers }, context) => {
      const [layer] = layers;
      if (layer === undefined || (await target.hasImage(from))) return;
      context.output(`importing ${from}`);
      await target.importRoot(await openLayer({ path: folder }, layer.descriptor), from, context.signal);
    },
  };
}

function publishedBase(
  base: { readonly ref: string; readonly digest: Digest },
  ports: ImagePorts,
  engine: () => Promise<ContainerEngine>,
): Base {
  const key = digestOf({ image: base.digest, format: FORMAT });
  const from = `${base.ref.replace(/:[^/:]*$/, '')}@${base.digest}`;
  const pull = async (target: ContainerEngine, context: StepContext): Promise<void> => {
    if (!(await target.hasImage(from))) await target.pull(from, context.signal, context.output);
  };
  return {
    key,
    from,
    step: layersStep(ports, key, `base image ${base.ref}`, 'it is not here yet', async (target, context, folder) => {
      const source = await engine();
      await pull(source, context);
      const temporary = await ports.layoutIn(join(folder, 'archive'));
      const [loaded] = await loadArchive(temporary, await source.save(from, context.signal));
      if (loaded === undefined) throw new KvciError('failed', 'engine-archive', `the engine saved no image for ${from}`);
      const layers: Layer[] = [];
      for (const { descriptor } of layersOf(await readImageAt(temporary, loaded.descriptor))) {
        layers.push(await packedLayer(target, await openLayer(temporary, descriptor)));
      }
      await rm(temporary.path, { recursive: true, force: true });
      return layers;
    }),
    provide: (target, _layers, context) => pull(target, context),
  };
}

/** A tar as a compressed layer, its bytes unchanged. */
async function packedLayer(layout: ImageLayout, tar: Parameters<typeof compress>[0]): Promise<Layer> {
  const blob = await putBlob(layout, compress(tar, 'zstd'));
  return describeLayer(layout, { mediaType: LAYER_MEDIA_TYPES.zstd, ...blob });
}

function layersStep(
  ports: ImagePorts,
  key: Digest,
  title: string,
  why: string,
  make: (layout: ImageLayout, context: StepContext, folder: string) => Promise<readonly Layer[]>,
): Step<BaseLayers> {
  const answer = (artifact: Artifact): BaseLayers => ({
    folder: join(artifact.path, 'layout'),
    layers: (artifact.record.facts as { layers: Layer[] }).layers,
  });
  return {
    id: 'base',
    title,
    why,
    find: async () => {
      const found = await ports.store.find(KIND, key);
      return found === undefined ? undefined : answer(found);
    },
    make: async (context) =>
      answer(
        await ports.store.make({
          kind: KIND,
          key,
          inputs: { key },
          title,
          signal: context.signal,
          onWait: () => {
            context.output('another kvci makes it: waiting');
          },
          build: async (folder) => ({ layers: await make(await ports.layoutIn(join(folder, 'layout')), context, folder) }),
        }),
      ),
  };
}
