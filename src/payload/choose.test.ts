import { describe, expect, it } from 'vitest';

import { autoOrder, choosePayload } from './choose.ts';
import { goProblem, spaceProblem } from './checks.ts';
import type { PayloadSource, PayloadSourceName } from './types.ts';

const never = (): never => {
  throw new Error('not asked for');
};

function sources(answers: Partial<Record<PayloadSourceName, boolean>>): (name: PayloadSourceName) => Promise<PayloadSource> {
  return (name) =>
    Promise.resolve({
      name,
      probe: () => Promise.resolve({ usable: answers[name] === true, reason: answers[name] === true ? 'it answers' : 'no route' }),
      resolve: never,
      key: never,
      make: never,
      find: never,
    });
}

describe('auto', () => {
  it.each([
    ['release' as const, false, ['release', 'modules']],
    ['packages' as const, false, ['packages', 'release', 'modules']],
    ['packages' as const, true, ['dir', 'packages', 'release', 'modules']],
  ])('order with %s by default, own folder: %s', (distribution, folder, expected) => {
    expect(autoOrder(distribution, folder)).toEqual(expected);
  });

  it('takes the first that answers and says why', async () => {
    const choice = await choosePayload(['packages', 'release', 'modules'], sources({ modules: true }));
    expect(choice.source.name).toBe('modules');
    expect(choice.reason).toBe('modules: it answers; not packages: no route; not release: no route');
  });

  it('names each reason when none answers', async () => {
    await expect(choosePayload(['release', 'modules'], sources({}))).rejects.toMatchObject({
      code: 'no-payload-source',
      message: 'Kubernetes cannot be had from anywhere:\n  release: no route\n  modules: no route',
    });
  });
});

describe('what building asks of the host', () => {
  it.each([
    ['1.26.8', true],
    ['1.19.8', true],
    ['1.15.15', false],
    ['devel', true],
  ])('Go %s: %s', (version, fine) => {
    expect(goProblem(version) === undefined).toBe(fine);
  });

  it('warns of too little space', () => {
    expect(spaceProblem(9e9, '/cache')).toBeUndefined();
    expect(spaceProblem(1.5e9, '/cache')?.message).toContain('1.50 GB are free at /cache');
  });
});
