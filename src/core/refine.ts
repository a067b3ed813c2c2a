import type { z } from 'zod';

import { KvciError } from './errors.ts';

/** Makes a zod check of a parser that throws KvciErrors, so that flags and kvci.yaml say the same. */
export function refineBy(parse: (text: string) => unknown): z.core.CheckFn<string> {
  return (context) => {
    try {
      parse(context.value);
    } catch (error) {
      if (!(error instanceof KvciError)) throw error;
      context.issues.push({ code: 'custom', message: error.message, input: context.value });
    }
  };
}
