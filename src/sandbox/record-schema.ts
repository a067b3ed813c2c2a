import { z } from 'zod';

import type { SandboxRecord } from './types.ts';

/** A sandbox's record as states keep it. */
export const sandboxRecordSchema: z.ZodType<SandboxRecord> = z.object({
  name: z.string(),
  pid: z.int(),
  startTime: z.string(),
  namespace: z.string(),
  network: z.enum(['host', 'private']),
  cgroup: z.string().exactOptional(),
  tools: z.string().exactOptional(),
});
