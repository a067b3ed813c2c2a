import { KvciError } from '../core/errors.ts';
import type { PayloadSource, PayloadSourceName } from './types.ts';

export interface PayloadChoice {
  readonly source: PayloadSource;
  /** For people: why this one, and why not those before it. */
  readonly reason: string;
}

/** The order in which `auto` asks: somebody's own folder first, then the distribution's way, then what is left. */
export function autoOrder(distributionDefault: 'packages' | 'release', hasFolder: boolean): PayloadSourceName[] {
  const order: PayloadSourceName[] = [...(hasFolder ? (['dir'] as const) : []), distributionDefault, 'release', 'modules'];
  return [...new Set(order)];
}

/**
 * The first source that answers.
 *
 * @throws KvciError `no-payload-source` with each one's reason
 */
export async function choosePayload(
  order: readonly PayloadSourceName[],
  source: (name: PayloadSourceName) => Promise<PayloadSource>,
): Promise<PayloadChoice> {
  const refused: { readonly name: PayloadSourceName; readonly reason: string }[] = [];
  for (const name of order) {
    const candidate = await source(name);
    const { usable, reason } = await candidate.probe();
    if (usable) {
      return { source: candidate, reason: [`${name}: ${reason}`, ...refused.map((one) => `not ${one.name}: ${one.reason}`)].join('; ') };
    }
    refused.push({ name, reason });
  }
  throw new KvciError(
    'hostNotReady',
    'no-payload-source',
    `Kubernetes cannot be had from anywhere:${refused.map(({ name, reason }) => `\n  ${name}: ${reason}`).join('')}`,
    {
      hint: 'Name a source with --payload to see its own error, or give a folder of your own with --payload dir:PATH.',
      facts: { refused },
    },
  );
}
