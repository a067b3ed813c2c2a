import { describe, expect, it } from 'vitest';

import type { Event } from '../core/events.ts';
import { checkMemory } from './memory.ts';
import { clusterOptionsSchema } from './options.ts';
import { nodeSpecs } from './spec.ts';

const nodes = (count: number, memory?: string) =>
  nodeSpecs(clusterOptionsSchema.parse({ name: 'lab', nodes: count, ...(memory === undefined ? {} : { memory }) }));

/** What is said of nodes on a host with so much memory. */
async function check(specs: ReturnType<typeof nodes>, available: number): Promise<readonly string[]> {
  const said: string[] = [];
  const events = (event: Event): void => {
    if (event.type === 'problem') said.push(event.message);
  };
  await checkMemory(specs, { memoryAvailable: () => Promise.resolve(available) }, events);
  return said;
}

describe('memory for the nodes that are asked for', () => {
  it.each([
    { what: 'what they use, where nothing is asked', specs: nodes(4), available: 2e9 },
    { what: 'a bound, which they need not reach', specs: nodes(2, '4G'), available: 8e9 },
  ])('is there: $what', async ({ specs, available }) => {
    expect(await check(specs, available)).toEqual([]);
  });

  it.each([
    { what: 'what they use', specs: nodes(10), available: 2e9, words: '1 control plane, 9 workers need about' },
    { what: 'what one of them is to have', specs: nodes(10, '8G'), available: 7.5e9, words: 'node01 is to have' },
  ])('is not there: $what', async ({ specs, available, words }) => {
    await expect(check(specs, available)).rejects.toMatchObject({
      code: 'not-enough-memory',
      exitCode: 3,
      message: expect.stringContaining(words) as string,
    });
  });

  it('is not there for all at once: said, as bounds are no needs', async () => {
    expect(await check(nodes(4, '4G'), 8e9)).toEqual([expect.stringContaining('together') as string]);
  });

  it('is never less than a node needs', async () => {
    await expect(check(nodes(1, '1G'), 8e9)).rejects.toMatchObject({ code: 'bad-flag' });
  });
});
