import { z } from 'zod';

import type { EngineAddress } from './endpoint.ts';

const tlsSchema = z.object({ ca: z.string(), keyPair: z.object({ cert: z.string(), key: z.string() }).optional() });

/** The address of an engine in a state file. Earlier kvcis wrote the path of a socket there. */
export const engineAddressSchema: z.ZodType<EngineAddress> = z.union([
  z.string().transform((path): EngineAddress => ({ transport: 'unix', path })),
  z.discriminatedUnion('transport', [
    z.object({ transport: z.literal('unix'), path: z.string() }),
    z.object({ transport: z.literal('tcp'), host: z.string(), port: z.int(), tls: tlsSchema.optional() }),
    z.object({ transport: z.literal('ssh'), destination: z.string(), port: z.int().optional(), socket: z.string() }),
  ]),
]);
