import type { z } from 'zod';

import { KvciError } from '../../core/errors.ts';
import type { Artifact } from '../types.ts';

/**
 * The facts of an artifact's record, checked: it may have been written by another kvci, or by hand.
 *
 * @throws KvciError `artifact-record`
 */
export function factsOf<T>({ path, record }: Pick<Artifact, 'path' | 'record'>, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(record.facts);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = ['facts', ...(issue?.path ?? [])].map(String).join('.');
  throw new KvciError('failed', 'artifact-record', `${path}/record.json (${record.title}): ${where}: ${issue?.message ?? 'malformed'}`, {
    hint: `Remove the folder ${path} and run the command again: what it holds is made anew.`,
    facts: { path },
    cause: parsed.error,
  });
}
