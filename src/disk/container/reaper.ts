import { KvciError } from '../../core/errors.ts';
import type { Reaper } from '../../host/ledger.ts';
import type { Jobs } from '../../host/engine/jobs.ts';
import type { ContainerEngine, Ledger } from '../../host/types.ts';
import type { ConverterEngine } from './types.ts';

const KIND = 'converter';

/** What a conversion has in an engine. */
type Left = { readonly container: string } | { readonly image: string };

/**
 * Does what needs something in an engine that outlives kvci, with that in the ledger. It stays there when the engine was lost:
 * then nobody knows what is left.
 */
export async function recorded<T>(
  ledger: Ledger,
  { socket }: Pick<ConverterEngine, 'socket'>,
  left: Left,
  work: () => Promise<T>,
): Promise<T> {
  if (socket === undefined) return work();
  const entry = await ledger.enter(KIND, { socket, ...left });
  try {
    const result = await work();
    await entry[Symbol.asyncDispose]();
    return result;
  } catch (error) {
    if (!(error instanceof KvciError) || error.code !== 'engine-lost') await entry[Symbol.asyncDispose]();
    throw error;
  }
}

export interface ConverterReaperParts {
  readonly connectJobs: (socket: string) => Promise<Pick<Jobs, 'remove'>>;
  readonly connectImages: (socket: string) => Promise<Pick<ContainerEngine, 'remove'>>;
}

/** Removes what a killed conversion left in an engine. */
export function converterReaper({ connectJobs, connectImages }: ConverterReaperParts): Reaper {
  return {
    kind: KIND,
    describe: ({ container, image, socket }) =>
      container === undefined ? `image ${String(image)} in ${String(socket)}` : `container ${String(container)} in ${String(socket)}`,
    reap: async ({ container, image, socket }) => {
      if (container !== undefined) await (await connectJobs(String(socket))).remove(String(container));
      if (image !== undefined) await (await connectImages(String(socket))).remove(String(image));
    },
  };
}
