import type { Digest } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { EngineImage, Jobs } from '../../host/engine/jobs.ts';
import { parseReference } from '../../oci/reference.ts';
import type { ConverterEngine, Dialect } from './types.ts';

/** A converter's image by what cannot change. */
export interface PinnedImage {
  /** `NAME@sha256:...`, or the id of an image that has no name. */
  readonly ref: string;
  /** Undefined while the engine has not got it. */
  readonly present: EngineImage | undefined;
}

export interface ImageSources {
  /** The digest that a registry has for a name. */
  readonly resolve: (ref: string, signal: AbortSignal) => Promise<Digest>;
  readonly offline: boolean;
}

/** The wanted image when it is named by digest: then no engine and no registry has to be asked what it is. */
export function pinnedBy(wanted: string | undefined): string | undefined {
  return wanted !== undefined && parseReference(wanted).digest !== undefined ? wanted : undefined;
}

/**
 * Finds out which image a converter is, `wanted` by the user or not: one that the engine has, else the one that a registry has under the first of its names.
 *
 * @throws KvciError `converter-image-missing`
 */
export async function findConverterImage(
  dialect: Dialect,
  wanted: string | undefined,
  jobs: Jobs,
  sources: ImageSources,
  signal: AbortSignal,
): Promise<PinnedImage> {
  const refs = wanted === undefined ? dialect.images : [wanted];
  for (const ref of refs) {
    const present = await jobs.image(ref);
    if (present !== undefined) return { ref: pinnedName(ref, present), present };
  }
  if (sources.offline) throw missing(dialect, refs, ['--offline forbids to ask a registry']);
  const tried: string[] = [];
  for (const ref of refs) {
    const reference = parseReference(ref);
    if (reference.digest !== undefined) return { ref, present: undefined };
    try {
      return { ref: `${reference.registry}/${reference.repository}@${await sources.resolve(ref, signal)}`, present: undefined };
    } catch (error) {
      if (signal.aborted || !(error instanceof KvciError)) throw error;
      tried.push(error.message);
    }
  }
  throw missing(dialect, refs, tried);
}

/** Brings the image into the engine if it is not there. @throws KvciError `converter-image-missing` */
export async function pullConverterImage(
  dialect: Dialect,
  { images, jobs }: Pick<ConverterEngine, 'images' | 'jobs'>,
  image: PinnedImage,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<EngineImage> {
  if (image.present !== undefined) return image.present;
  try {
    await images.pull(image.ref, signal, onLine);
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError) || error.code === 'disk-full') throw error;
    throw missing(dialect, [image.ref], [error.message], error);
  }
  const present = await jobs.image(image.ref);
  if (present === undefined) throw missing(dialect, [image.ref], ['the engine pulled it, but has it not']);
  return present;
}

/** The digest that the engine has for this very name, else any: all are of the same image. */
function pinnedName(ref: string, { id, digests }: EngineImage): string {
  const { registry, repository } = parseReference(ref);
  return digests.find((digest) => digest.startsWith(`${registry}/${repository}@`)) ?? digests[0] ?? id;
}

function missing(dialect: Dialect, refs: readonly string[], tried: readonly string[], cause?: unknown): KvciError {
  return new KvciError(
    'notFoundOrExists',
    'converter-image-missing',
    [`${dialect.name} is not to be had as ${refs.join(' or ')}`, ...tried.map((line) => `  ${line}`)].join('\n'),
    {
      hint: 'Pull it into the rootful Podman, or name another image with --converter-image. --converter native needs none.',
      facts: { refs },
      cause,
    },
  );
}
