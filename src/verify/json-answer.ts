import type { z } from 'zod';

/** What a program of a node printed as JSON; undefined for anything else: that is the node's fault, and a finding. */
export function jsonAnswer<T>(text: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
