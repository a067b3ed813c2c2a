import { z } from 'zod';

import { clusterStateSchema } from '../cluster/state.ts';
import type { Digest } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { KvciError, messageOf } from '../core/errors.ts';
import type { SavedMachines } from '../machine/saved-machines.ts';

/** Of the record and of all files that belong to it. A kvci that changes their meaning raises it. */
export const LAYOUT = 1;

/** Bytes that one digest is of. */
export const CHUNK = 1 << 20;

/** A file of a snapshot with the digest of each chunk; null for one that is nothing but zeros. */
export interface SavedFile {
  /** Relative, such as `node01/memory`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly chunks: (Digest | null)[];
}

/** A file that a snapshot stands on and that is not its own: the disk of the image. */
export interface OutsideFile {
  /** Absolute, as it was where the snapshot was made. */
  readonly path: string;
  readonly size: number;
  readonly digest: Digest;
}

const savedMachineSchema = z.object({
  accelerator: z.string(),
  board: z.string(),
  cpuModel: z.string(),
  firmware: z.string(),
  cpus: z.number(),
  memory: z.number(),
  disks: z.int(),
  extents: z.array(z.tuple([z.number(), z.number()])),
});

const savedMachinesSchema: z.ZodType<SavedMachines> = z.object({
  qemu: z.string(),
  architecture: z.string(),
  files: z.array(z.string()),
  pausedMs: z.number(),
  machines: z.record(z.string(), savedMachineSchema),
  record: z.string(),
});

const snapshotSchema = z.object({
  layout: z.literal(LAYOUT),
  name: z.string(),
  /** Random, of this one snapshot: another of the same name is another. */
  id: z.string(),
  /** ISO 8601. */
  createdAt: z.string(),
  /** Digest of all that went into the cluster, of one that `up --instant` made. */
  key: digestSchema.optional(),
  /** Its keys are known to whoever has the file that it came by. */
  imported: z.boolean().optional(),
  /** The cluster as it was. */
  cluster: clusterStateSchema,
  /** The administrator's, as it was on the host. */
  kubeconfig: z.string(),
  machines: savedMachinesSchema,
  // In its folder and nowhere else, whoever wrote the record.
  files: z.array(
    z.object({
      path: z.string().regex(/^[a-z0-9][a-z0-9-]*\/[A-Za-z0-9][\w.-]*$/),
      size: z.number(),
      chunks: z.array(digestSchema.nullable()),
    }),
  ),
  outside: z.array(z.object({ path: z.string(), size: z.number(), digest: digestSchema })),
});

/** A snapshot of a cluster, beside its files. It holds keys. */
export type SnapshotRecord = z.output<typeof snapshotSchema>;

/** @throws KvciError `snapshot-damaged`, `snapshot-of-another-version` */
export function parseSnapshot(text: string, path: string): SnapshotRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(path, messageOf(error), error);
  }
  const layout = z.object({ layout: z.number() }).safeParse(value).data?.layout;
  if (layout !== undefined && layout !== LAYOUT) {
    throw new KvciError('failed', 'snapshot-of-another-version', `${path} was written by another version of kvci (layout ${layout})`, {
      hint: 'Use that kvci, or make the snapshot anew.',
      facts: { file: path },
    });
  }
  const parsed = snapshotSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw damaged(path, `something else than expected at "${parsed.error.issues[0]?.path.join('.') ?? ''}"`, parsed.error);
}

function damaged(path: string, why: string, cause: unknown): KvciError {
  return new KvciError('failed', 'snapshot-damaged', `${path} does not tell of a snapshot: ${why}`, {
    hint: 'Remove it with "kvci snapshot rm", and make it anew.',
    facts: { file: path },
    cause,
  });
}
