import { z } from 'zod';

import type { Progress } from './types.ts';

interface Level {
  readonly message: string;
  readonly done: number;
  readonly total: number;
  readonly subprogress?: Level | undefined;
}

const levelSchema: z.ZodType<Level> = z.object({
  message: z.string(),
  done: z.int(),
  total: z.int(),
  get subprogress() {
    return levelSchema.optional();
  },
});

/** What image-builder's file of progress says (contract D4); undefined for a text that is something else. */
export function parseProgressFile(text: string): Progress | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { data } = levelSchema.safeParse(json);
  return data === undefined ? undefined : { done: data.done, total: data.total, message: messageOf(data) };
}

/** The innermost message, which says most, and how far that is. */
function messageOf({ message, subprogress }: Level): string {
  if (subprogress === undefined) return message;
  const inner = messageOf(subprogress);
  return subprogress.subprogress === undefined ? `${inner} (${subprogress.done}/${subprogress.total})` : inner;
}
