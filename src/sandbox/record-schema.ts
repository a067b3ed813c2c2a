import { z } from 'zod';

import type { ContainerRecord, NamespacesRecord, SandboxRecord } from './types.ts';

const network = z.enum(['host', 'private']);

const container: z.ZodType<ContainerRecord> = z.object({
  kind: z.literal('container'),
  name: z.string(),
  id: z.string(),
  engine: z.string(),
  network,
  folder: z.string(),
  user: z.object({ uid: z.int(), gid: z.int() }).exactOptional(),
});

const namespaces: z.ZodType<NamespacesRecord> = z.object({
  kind: z.literal('namespaces').exactOptional(),
  name: z.string(),
  pid: z.int(),
  startTime: z.string(),
  namespace: z.string(),
  network,
  cgroup: z.string().exactOptional(),
  tools: z.string().exactOptional(),
});

/** A sandbox's record as states keep it. */
export const sandboxRecordSchema: z.ZodType<SandboxRecord> = z.union([container, namespaces]);
