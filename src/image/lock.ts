import { z } from 'zod';

import { type Digest, type Json } from '../core/digest.ts';
import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import { PAYLOAD_SOURCES, type Architecture, type PayloadLock, type PayloadSourceName } from '../payload/types.ts';
import { packageSetSchema } from '../sandbox/debian-schema.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';

const payloadLock = z.strictObject({
  source: z.enum(PAYLOAD_SOURCES),
  versions: z.strictObject({
    kubernetes: z.string(),
    etcd: z.string(),
    coredns: z.string(),
    pause: z.string(),
    containerd: z.string().optional(),
  }),
  created: z.iso.datetime(),
  newerExists: z.string().optional(),
  inputs: z.unknown(),
});

const lockSchema = z.strictObject({
  version: z.literal(1),
  /** Package sets by use: `tools/amd64`, `debian-13/amd64`. */
  packages: z.record(z.string(), packageSetSchema),
  /** Payloads by request, source and architecture: `1.31/modules/amd64`. */
  payloads: z.record(z.string(), payloadLock),
  /** Published images by reference. */
  images: z.record(z.string(), digestSchema),
});

/**
 * `kvci.lock`: every input of the images built beside it, exactly. What it holds is used as it stands; what it lacks is resolved
 * and added, unless `--locked` forbids it.
 */
export interface Lock {
  readonly version: 1;
  readonly packages: Readonly<Record<string, DebianPackageSet>>;
  readonly payloads: Readonly<Record<string, PayloadLock>>;
  readonly images: Readonly<Record<string, Digest>>;
}

export const EMPTY_LOCK: Lock = { version: 1, packages: {}, payloads: {}, images: {} };

/**
 * Reads a lock's text.
 *
 * @throws KvciError `lock-broken` naming the file and the first thing that is wrong
 */
export function parseLock(text: string, file: string): Lock {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw lockBroken(file, 'it is not JSON', error);
  }
  const parsed = lockSchema.safeParse(data);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.map(String).join('.')}: `;
    throw lockBroken(file, `${where}${issue?.message ?? 'it does not fit'}`, parsed.error);
  }
  return parsed.data as Lock;
}

function lockBroken(file: string, what: string, cause: unknown): KvciError {
  return new KvciError('usage', 'lock-broken', `${file} cannot be used: ${what}`, {
    hint: 'Take it from version control again, or remove it and let "kvci image lock" write a new one.',
    cause,
  });
}

/** The text of a lock: keys sorted, one package a line, so that a change of one input is a change of one line. */
export function formatLock(lock: Lock): string {
  const lines = [
    '{',
    '  "version": 1,',
    `  "packages": ${formatRecord(lock.packages, (set) => formatSet(set))},`,
    `  "payloads": ${formatRecord(lock.payloads, (payload) => JSON.stringify(sortKeys(payload as unknown as Json), undefined, 2).replaceAll('\n', '\n    '))},`,
    `  "images": ${formatRecord(lock.images, (value) => JSON.stringify(value))}`,
    '}',
  ];
  return `${lines.join('\n')}\n`;
}

function formatRecord<T>(record: Readonly<Record<string, T>>, format: (value: T) => string): string {
  const entries = Object.entries(record).toSorted(byKey);
  if (entries.length === 0) return '{}';
  return `{\n${entries.map(([key, value]) => `    ${JSON.stringify(key)}: ${format(value)}`).join(',\n')}\n  }`;
}

function formatSet(set: DebianPackageSet): string {
  const packages = set.packages.map((one) => `        ${JSON.stringify(one)}`).join(',\n');
  return `{\n      "suite": ${JSON.stringify(set.suite)},\n      "architecture": ${JSON.stringify(set.architecture)},\n      "wanted": ${JSON.stringify(set.wanted)},\n      "packages": [\n${packages}\n      ]\n    }`;
}

function sortKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map((inner: Json) => sortKeys(inner));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value)
        .toSorted(byKey)
        .flatMap(([key, inner]: [string, Json | undefined]) => (inner === undefined ? [] : [[key, sortKeys(inner)] as const])),
    );
  }
  return value;
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function payloadKey(request: string, source: PayloadSourceName, architecture: Architecture): string {
  return `${request}/${source}/${architecture}`;
}
