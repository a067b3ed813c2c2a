import { z } from 'zod';

import { type Digest, isDigest } from './digest.ts';

/** A digest in a file that is read; apart from `digest.ts`, which is loaded where no schema is. */
export const digestSchema = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), { error: 'not a sha256 digest' });
