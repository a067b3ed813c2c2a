import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import type { DebianPackage, DebianPackageSet } from './debian-types.ts';

const packageSchema: z.ZodType<DebianPackage> = z.strictObject({
  name: z.string(),
  version: z.string(),
  architecture: z.string(),
  sha256: digestSchema,
  size: z.int().nonnegative(),
  archive: z.string(),
  filename: z.string(),
});

/** A package set as `kvci.lock` and artifact records hold it. */
export const packageSetSchema: z.ZodType<DebianPackageSet> = z.strictObject({
  suite: z.string(),
  architecture: z.string(),
  wanted: z.array(z.string()),
  packages: z.array(packageSchema),
});
