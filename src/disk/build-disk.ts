import { join } from 'node:path';
import { z } from 'zod';

import { type Digest, digestOf, type Json, shortDigest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import type { KvciError } from '../core/errors.ts';
import { type RunContext, runStep, type Step } from '../core/plan.ts';
import { formatSize } from '../core/sizes.ts';
import { factsOf } from '../host/store/facts.ts';
import type { Artifact, ArtifactStore } from '../host/types.ts';
import { chooseConverter } from './choose.ts';
import { type ConverterName, ConverterRefusal, CONVERTERS, type DiskConverter, type DirectBoot, type DiskRequest } from './types.ts';

/** Artifact kind: a folder with a disk and what boots it. */
export const DISK_KIND = 'disk';

export interface DiskPorts {
  readonly store: ArtifactStore;
  /** In the order in which `auto` prefers them. */
  readonly converters: readonly DiskConverter[];
}

/** A disk in the store: a file that nobody may write to; machines get a copy or a child of it. */
export interface Disk {
  readonly key: Digest;
  /** Path of its file. */
  readonly path: string;
  readonly image: Digest;
  readonly converter: ConverterName;
  readonly format: DiskRequest['format'];
  /** Of the virtual disk, in bytes. */
  readonly size: number;
  /** Paths of kernel and initramfs. */
  readonly directBoot?: DirectBoot;
}

const factsSchema = z.object({
  image: digestSchema,
  converter: z.enum(CONVERTERS),
  format: z.enum(['qcow2', 'raw']),
  size: z.number(),
  file: z.string(),
  directBoot: z.object({ kernel: z.string(), initramfs: z.string(), arguments: z.string() }).optional(),
});

/** @throws KvciError as `chooseConverter`, and what the converter fails with */
export async function buildDisk(
  name: ConverterName | 'auto',
  request: DiskRequest,
  ports: DiskPorts,
  run: RunContext,
): Promise<{ readonly disk: Disk; readonly reused: boolean }> {
  const refused = new Map<ConverterName, KvciError>();
  for (;;) {
    const step = await diskStep(name, request, ports, run, refused);
    let reused = true;
    const make: typeof step.make = (context) => {
      reused = false;
      return step.make(context);
    };
    try {
      return { disk: await runStep({ ...step, make }, run), reused };
    } catch (error) {
      if (name !== 'auto' || !(error instanceof ConverterRefusal)) throw error;
      refused.set(step.converter, error);
    }
  }
}

/** The step that finds or makes a disk. @param refused as for `chooseConverter` */
export async function diskStep(
  name: ConverterName | 'auto',
  request: DiskRequest,
  { store, converters }: DiskPorts,
  { events, signal }: Pick<RunContext, 'events' | 'signal'>,
  refused?: ReadonlyMap<ConverterName, KvciError>,
): Promise<Step<Disk> & { readonly converter: ConverterName }> {
  const converter = await chooseConverter(name, request, converters, events, signal, refused);
  const inputs = inputsOf(request, converter.name, await converter.identity(request, signal));
  const key = digestOf(inputs);
  const { format, size } = request;
  const image = request.source.image.descriptor.digest;
  const title = `disk of image ${shortDigest(image)}, ${format}, ${formatSize(size)}, ${converter.name}`;
  return {
    id: 'disk',
    converter: converter.name,
    title,
    why: 'not made yet of this image with these options',
    find: async () => {
      const artifact = await store.find(DISK_KIND, key);
      return artifact === undefined ? undefined : diskOf(artifact);
    },
    make: async (context) =>
      diskOf(
        await store.make({
          kind: DISK_KIND,
          key,
          inputs,
          title,
          signal: context.signal,
          onWait: () => {
            context.output('another kvci makes it: waiting');
          },
          build: async (folder) => ({
            image,
            converter: converter.name,
            format,
            size,
            ...(await converter.convert(request, folder, context)),
          }),
        }),
      ),
  };
}

function inputsOf({ source, format, size, filesystem, kargs, sshKeys }: DiskRequest, converter: ConverterName, identity: Json): Json {
  return { image: source.image.descriptor.digest, format, size, filesystem, kargs, sshKeys, converter: { name: converter, identity } };
}

function diskOf(artifact: Artifact): Disk {
  const { file, directBoot, ...facts } = factsOf(artifact, factsSchema);
  return {
    ...facts,
    key: artifact.key,
    path: join(artifact.path, file),
    ...(directBoot === undefined
      ? {}
      : {
          directBoot: {
            ...directBoot,
            kernel: join(artifact.path, directBoot.kernel),
            initramfs: join(artifact.path, directBoot.initramfs),
          },
        }),
  };
}
