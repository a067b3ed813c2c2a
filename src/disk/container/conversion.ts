import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '../../core/clock.ts';
import { hexOf } from '../../core/digest.ts';
import type { StepContext } from '../../core/plan.ts';
import type { TemplateSources } from '../../core/template.ts';
import type { Ledger } from '../../host/types.ts';
import { saveArchive } from '../../oci/archive-save.ts';
import type { ConvertedDisk, DiskRequest } from '../types.ts';
import { renderConfig } from './config.ts';
import { checkDiskFile } from './disk-file.ts';
import { converterFailure } from './failures.ts';
import { followConversion } from './follow.ts';
import { converterJob, workBinds } from './probe.ts';
import { recorded } from './reaper.ts';
import { type ConverterEngine, type Dialect, type Flags, OUTPUT, outputOf, type Owner, type Workspace } from './types.ts';

/** What a conversion is done with, all of it checked. */
export interface Conversion {
  readonly dialect: Dialect;
  readonly engine: ConverterEngine;
  /** The engine's folder of images. */
  readonly storage: string;
  /** `NAME@sha256:...` */
  readonly converter: string;
  readonly flags: Flags;
  readonly work: Workspace;
  readonly templates: TemplateSources;
  readonly owner: Owner | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
}

/** Has a converter make the disk, and moves it to `folder` when it is whole. */
export async function runConversion(
  conversion: Conversion,
  request: DiskRequest,
  folder: string,
  context: StepContext,
): Promise<ConvertedDisk> {
  const { dialect, work, converter } = conversion;
  const outcome = await withNodeImage(conversion, request, context, (image) => callConverter(conversion, request, image, context));
  if (outcome.exitCode !== 0) throw converterFailure(`${dialect.name} (${converter})`, outcome);
  const made = join(outputOf(work.path), dialect.outputFile(request.format));
  await checkDiskFile(made, request.format, request.size);
  const file = `disk.${request.format}`;
  await rename(made, join(folder, file));
  return { file };
}

const CONFIG = 'config.toml';

/** @param image what the engine calls the node image */
async function callConverter(conversion: Conversion, request: DiskRequest, image: string, context: StepContext) {
  const { dialect, engine, storage, converter, flags, work, templates, owner, clock } = conversion;
  await writeFile(join(work.path, CONFIG), renderConfig(templates, dialect, request));
  const binds = workBinds(storage, outputOf(work.enginePath));
  await using follow = followConversion(dialect, request.format, outputOf(work.path), { clock, context });
  const job = {
    ...converterJob(engine, converter, [{ host: join(work.enginePath, CONFIG), inside: dialect.config.inside, writable: false }, ...binds]),
    command: dialect.arguments({ request, image, flags, owner }),
    onLine: follow.onLine,
  };
  try {
    return await engine.jobs.run(job, context.signal);
  } finally {
    if (owner !== undefined) await handOver(conversion, owner);
  }
}

/** Gives all output to the user, also what a failed conversion left: root's folders an ordinary user can neither move nor remove. */
async function handOver({ engine, converter, work }: Conversion, { uid, gid }: Owner): Promise<void> {
  const binds = [{ host: outputOf(work.enginePath), inside: OUTPUT, writable: true }];
  const job = { ...converterJob(engine, converter, binds), entrypoint: ['/bin/chown'] as const, command: ['-R', `${uid}:${gid}`, OUTPUT] };
  // Also after Ctrl-C.
  await engine.jobs.run(job, AbortSignal.timeout(HAND_OVER_MS));
}

/** A deadline for a hang. */
const HAND_OVER_MS = 120_000;

/** Has the node image in the engine while `work` is done, under a name of kvci's; one that was there before stays. */
async function withNodeImage<T>(
  { engine, ledger }: Conversion,
  { source: { image, layout } }: DiskRequest,
  { output, signal }: StepContext,
  work: (image: string) => Promise<T>,
): Promise<T> {
  const name = `localhost/kvci/convert:${hexOf(image.descriptor.digest)}`;
  if ((await engine.jobs.image(name)) !== undefined) return work(name);
  return recorded(ledger, engine, { image: name }, async () => {
    output(`loading ${name} into Podman`);
    try {
      await engine.images.load(saveArchive(layout, image.descriptor, { refs: [name], layers: 'as-is' }), signal);
      return await work(name);
    } finally {
      await engine.images.remove(name);
    }
  });
}
