import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import { KvciError } from '../core/errors.ts';
import type { PayloadLock, PayloadSourceName } from './types.ts';

/** A file that is downloaded: which component at which version, where on which of upstream's servers, with which digest. */
export const lockedFileSchema = z.strictObject({
  component: z.string(),
  version: z.string(),
  server: z.enum(['kubernetes', 'downloads']),
  path: z.string().startsWith('/'),
  sha256: digestSchema,
});
export type LockedFile = z.output<typeof lockedFileSchema>;

/** An image by the reference kubeadm asks for and the digest of its manifest for the payload's architecture. */
export const lockedImageSchema = z.strictObject({ ref: z.string(), digest: digestSchema });
export type LockedImage = z.output<typeof lockedImageSchema>;

/** Reads the inputs of a source's lock. @throws KvciError `lock-broken` */
export function readInputs<T>(schema: z.ZodType<T>, lock: PayloadLock, source: PayloadSourceName): T {
  const parsed = schema.safeParse(lock.inputs);
  if (parsed.success && lock.source === source) return parsed.data;
  const issue = parsed.error?.issues[0];
  const problem =
    lock.source === source ? `${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}` : `it is one of source ${lock.source}`;
  throw new KvciError('usage', 'lock-broken', `the lock of payload ${lock.versions.kubernetes} (${source}) is not right: ${problem}`, {
    hint: 'Take it from version control again, or run "kvci image lock --update".',
    cause: parsed.error,
  });
}
