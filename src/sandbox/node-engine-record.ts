import { readFile, rm } from 'node:fs/promises';
import { z } from 'zod';

import { hasErrno, KvciError } from '../core/errors.ts';
import { writeFileAtomic } from '../host/files.ts';
import type { Directories } from '../host/types.ts';
import type { SandboxRecord } from './types.ts';

/** What is known of the engine for nodes, also after a reboot: written before there is anything of it. */
export interface NodeEngineRecord {
  readonly version: 1;
  /** The cgroup2 folder that it has for itself; undefined where this user has none. */
  readonly cgroup?: string | undefined;
  /** Missing while it is being started. */
  readonly sandbox?: SandboxRecord | undefined;
}

const schema: z.ZodType<NodeEngineRecord> = z.object({
  version: z.literal(1),
  cgroup: z.string().optional(),
  sandbox: z
    .object({
      name: z.string(),
      pid: z.int(),
      startTime: z.string(),
      namespace: z.string(),
      network: z.enum(['host', 'private']),
      cgroup: z.string().optional(),
    })
    .transform(({ cgroup, ...rest }) => ({ ...rest, ...(cgroup === undefined ? {} : { cgroup }) }))
    .optional(),
});

type StateFolder = Pick<Directories, 'state'>;

export function recordPath({ state }: StateFolder): string {
  return `${state}/node-engine.json`;
}

/** @throws KvciError `bad-state-file` */
export async function readRecord(directories: StateFolder): Promise<NodeEngineRecord | undefined> {
  const path = recordPath(directories);
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

export async function writeRecord(directories: StateFolder, record: NodeEngineRecord): Promise<void> {
  await writeFileAtomic(recordPath(directories), `${JSON.stringify(record)}\n`, 0o600);
}

export async function removeRecord(directories: StateFolder): Promise<void> {
  await rm(recordPath(directories), { force: true });
}
