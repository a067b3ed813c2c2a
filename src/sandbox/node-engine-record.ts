import { readFile, rm } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';

import { hasErrno, KvciError } from '../core/errors.ts';
import { writeFileAtomic } from '../host/files.ts';
import type { Directories } from '../host/types.ts';
import { sandboxRecordSchema } from './record-schema.ts';
import type { SandboxRecord } from './types.ts';

/** What is known of the engine for nodes, also after a reboot: written before there is anything of it. */
export interface NodeEngineRecord {
  readonly version: 1;
  /** The cgroup2 folder that it has for itself; undefined where this user has none. */
  readonly cgroup?: string | undefined;
  /** Missing while it is being started. */
  readonly sandbox?: SandboxRecord | undefined;
  /** Everything in the sandbox stands: whoever was killed on the way there left one that nobody can use. */
  readonly ready: boolean;
}

const schema: z.ZodType<NodeEngineRecord> = z.object({
  version: z.literal(1),
  cgroup: z.string().optional(),
  ready: z.boolean(),
  sandbox: sandboxRecordSchema.optional(),
});

/** Where the record is: the state directory of whoever started the engine. */
export function recordPath({ state }: Pick<Directories, 'state'>): string {
  return `${state}/node-engine.json`;
}

/** Its copy beside the storage: another state directory over the same cache would put a second engine there. */
export function holderPath({ cache }: Pick<Directories, 'cache'>): string {
  return `${cache}/nodes.json`;
}

/** @throws KvciError `bad-state-file` */
export async function readRecord(path: string): Promise<NodeEngineRecord | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw new KvciError('failed', 'bad-state-file', `${path} does not tell of kvci's engine for nodes`, {
      hint: 'It was not written by this version of kvci. Remove the file once no cluster of containers runs.',
      cause: error,
    });
  }
}

export async function writeRecord(directories: Pick<Directories, 'state' | 'cache'>, record: NodeEngineRecord): Promise<void> {
  for (const path of [recordPath(directories), holderPath(directories)]) await writeFileAtomic(path, `${JSON.stringify(record)}\n`, 0o600);
}

/** Forgets an engine; the copy beside the storage may be of another one by now. */
export async function removeRecord(directories: Pick<Directories, 'state' | 'cache'>, record: NodeEngineRecord): Promise<void> {
  const holder = await readRecord(holderPath(directories));
  if (isDeepStrictEqual(holder?.sandbox, record.sandbox)) await rm(holderPath(directories), { force: true });
  await rm(recordPath(directories), { force: true });
}
