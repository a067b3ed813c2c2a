import { mkdir } from 'node:fs/promises';

import type { Clock } from '../../core/clock.ts';
import type { Json } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { StepContext } from '../../core/plan.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { EngineImage } from '../../host/engine/jobs.ts';
import { asDiskFull } from '../../host/files.ts';
import type { Directories, Ledger, Locks } from '../../host/types.ts';
import { ConverterRefusal, type DiskConverter, type DiskRequest } from '../types.ts';
import { runConversion } from './conversion.ts';
import { findConverterImage, type ImageSources, pinnedBy, type PinnedImage, pullConverterImage } from './converter-image.ts';
import { nodeImageFacts } from './node-image.ts';
import { probeConverter, probeSurroundings, workBinds } from './probe.ts';
import { converterProblem, engineProblem, imageFilesProblem, imageProblem, surroundingsProblem } from './problems.ts';
import { type ConverterEngine, type Dialect, type Flags, outputOf, type Owner, type Workspace } from './types.ts';

export interface ContainerConverterParts extends ImageSources {
  /** @throws KvciError `converter-engine-missing` */
  readonly openEngine: (signal: AbortSignal) => Promise<ConverterEngine>;
  /** Of `templates/`. */
  readonly templates: () => Promise<TemplateSources>;
  readonly directories: Pick<Directories, 'cache'>;
  readonly locks: Locks;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly user: Owner;
}

/** Changes when the same converter is used in another way. */
const CALL = 1;

/**
 * A converter that is a program in a container of a rootful Podman. Whether it can be used is told in part only before it is: what takes
 * containers of it or reads the whole image is looked at when a disk has to be made, before the conversion starts.
 */
export function containerConverter(dialect: Dialect, parts: ContainerConverterParts): DiskConverter {
  const owner = parts.user.uid === 0 ? undefined : parts.user;

  /** What can be known at once, and without any change. */
  const check = async (engine: ConverterEngine, request: DiskRequest, signal: AbortSignal): Promise<Checked> => {
    const { jobs } = engine;
    const storage = await jobs.storage();
    refuse(engineProblem(jobs.info, storage));
    refuse(imageProblem(request.source));
    return { storage: storage.root, converter: await findConverterImage(dialect, request.converterImage, jobs, parts, signal) };
  };

  /** What only containers of the converter can tell. */
  const probe = async (
    engine: ConverterEngine,
    request: DiskRequest,
    { storage, converter }: Checked & { readonly converter: { readonly present: EngineImage } },
    work: Workspace,
    signal: AbortSignal,
  ): Promise<Flags> => {
    const found = await probeConverter(engine, converter.ref, signal);
    refuse(converterProblem(dialect, converter.ref, request, converter.present, found));
    const around = await probeSurroundings(engine, converter.ref, workBinds(storage, outputOf(work.enginePath)), signal);
    const files = await nodeImageFacts(request.source);
    refuse(imageFilesProblem(request, files) ?? surroundingsProblem(around, files.unpacked));
    return found.flags;
  };

  return {
    name: dialect.name,
    unfit: async (request, signal) => {
      try {
        await using engine = await parts.openEngine(signal);
        await check(engine, request, signal);
        return undefined;
      } catch (error) {
        if (signal.aborted || !(error instanceof KvciError)) throw error;
        return error;
      }
    },
    identity: async ({ converterImage }, signal): Promise<Json> => {
      const named = pinnedBy(converterImage);
      if (named !== undefined) return { image: named, call: CALL };
      await using engine = await parts.openEngine(signal);
      return { image: (await findConverterImage(dialect, converterImage, engine.jobs, parts, signal)).ref, call: CALL };
    },
    convert: async (request, folder, context) => {
      const { signal, output } = context;
      await using _alone = await alone(parts, context);
      await using engine = await parts.openEngine(signal);
      const checked = await check(engine, request, signal);
      const present = await pullConverterImage(dialect, engine, checked.converter, output, signal);
      await using work = await openWorkspace(engine, folder);
      const converter = { ...checked.converter, present };
      const flags = await probe(engine, request, { ...checked, converter }, work, signal);
      output(`${dialect.name} is ${converter.ref}`);
      const { ledger, clock, templates } = parts;
      const { storage } = checked;
      return await runConversion(
        { dialect, engine, storage, converter: converter.ref, flags, work, templates: await templates(), owner, ledger, clock },
        request,
        folder,
        context,
      );
    },
  };
}

interface Checked {
  /** The engine's folder of images. */
  readonly storage: string;
  readonly converter: PinnedImage;
}

async function openWorkspace(engine: ConverterEngine, folder: string): Promise<Workspace> {
  await using stack = new AsyncDisposableStack();
  const work = stack.use(await engine.workspace(folder));
  try {
    await mkdir(outputOf(work.path));
  } catch (error) {
    throw asDiskFull(error, folder);
  }
  stack.move();
  return work;
}

/** One conversion at a time: what one brings into the engine it takes out again, and each fills the machine. */
async function alone({ directories, locks }: ContainerConverterParts, { signal, output }: StepContext): Promise<AsyncDisposable> {
  return locks.exclusive(`${directories.cache}/converters.lock`, {
    signal,
    onWait: () => output('another kvci converts in a container: waiting until it has ended'),
  });
}

function refuse(problem: KvciError | undefined): void {
  if (problem !== undefined) throw new ConverterRefusal(problem);
}
