import { z } from 'zod';

import { type Digest, isDigest } from '../core/digest.ts';
import type { DebianPackage, DebianPackageSet } from './debian-types.ts';

const packageSchema: z.ZodType<DebianPackage> = z.strictObject({
  name: z.string(),
  version: z.string(),
  architecture: z.string(),
  sha256: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'expected a sha256 digest'),
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
