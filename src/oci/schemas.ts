import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import { type Descriptor, type ImageConfig, type ImageIndex, type Layer, type Manifest, MEDIA_TYPES } from './types.ts';

const annotations = z.record(z.string(), z.string()).nullish().transform(absentNull);

const descriptor = z.looseObject({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().nonnegative(),
  annotations,
  platform: z.looseObject({ architecture: z.string(), os: z.string(), variant: z.string().optional() }).optional(),
  artifactType: z.string().optional(),
});

const manifest = z.looseObject({
  schemaVersion: z.literal(2),
  // Optional in OCI 1.0; podman and older builders leave it out.
  mediaType: z.string().default(MEDIA_TYPES.manifest),
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor),
  subject: descriptor.optional(),
  annotations,
});

const index = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().default(MEDIA_TYPES.index),
  manifests: z.array(descriptor),
  annotations,
});

const strings = z.array(z.string()).nullish().transform(absentNull);
const text = z.string().nullish().transform(absentNull);

const config = z.looseObject({
  created: text,
  architecture: z.string(),
  os: z.string(),
  config: z
    .looseObject({
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      WorkingDir: text,
      User: text,
      Labels: annotations,
      StopSignal: text,
    })
    .nullish()
    .transform(absentNull),
  rootfs: z.object({
    type: z.literal('layers'),
    diff_ids: z
      .array(digestSchema)
      .nullable()
      .transform((ids) => ids ?? []),
  }),
  history: z.array(z.looseObject({})).nullish().transform(absentNull),
});

/** Engines written in Go write an absent list or map as `null`. */
function absentNull<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined;
}

/** A descriptor and a layer, as records of artifacts keep them. */
export const descriptorSchema = descriptor as z.ZodType<Descriptor>;
export const layerSchema: z.ZodType<Layer> = z.object({ descriptor: descriptorSchema, diffId: digestSchema });

export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  return parse(manifest, bytes, what) as Manifest;
}

export function parseIndex(bytes: Uint8Array, what: string): ImageIndex {
  return parse(index, bytes, what) as ImageIndex;
}

export function parseConfig(bytes: Uint8Array, what: string): ImageConfig {
  return parse(config, bytes, what) as ImageConfig;
}

/** True for a descriptor of an index of images for several platforms, OCI's or Docker's. */
export function isIndex(entry: Pick<Descriptor, 'mediaType'>): boolean {
  return entry.mediaType === MEDIA_TYPES.index || entry.mediaType === 'application/vnd.docker.distribution.manifest.list.v2+json';
}

/** @throws KvciError `oci-malformed` naming `what` and the first field that is wrong */
export function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new KvciError('failed', 'oci-malformed', `${what} is not JSON`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new KvciError('failed', 'oci-malformed', `${what} is malformed: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, {
    cause: result.error,
  });
}
