import { expect, it } from 'vitest';

import { clusterOptionsSchema } from './options.ts';
import { clusterProvider, nodeSpecs } from './spec.ts';

const options = (given: object) => clusterOptionsSchema.parse(given);

it.each([
  [{}, 'kind'],
  [{ provider: 'kind', nodes: 3 }, 'kind'],
  [{ provider: 'vm', nodes: 3 }, 'vm'],
  [{ provider: 'vm', controlPlaneProvider: 'kind', nodes: 2 }, 'mixed'],
  [{ provider: 'vm', controlPlaneProvider: 'kind', nodes: 1 }, 'kind'],
  [{ provider: 'kind', controlPlaneProvider: 'kind', nodes: 2 }, 'kind'],
  [{ provider: 'kind', nodes: 2, overrides: { node02: { provider: 'vm' } } }, 'mixed'],
  [{ provider: 'vm', nodes: 2, overrides: { node01: { provider: 'kind' }, node02: { provider: 'kind' } } }, 'kind'],
])('%j is of %s', (given, provider) => {
  expect(clusterProvider(options(given))).toBe(provider);
});

it('nodes of a cluster of both kinds know what they are', () => {
  const given = options({ provider: 'vm', controlPlaneProvider: 'kind', nodes: 3, overrides: { node03: { provider: 'kind' } } });
  expect(nodeSpecs(given).map(({ name, provider }) => [name, provider])).toEqual([
    ['node01', 'kind'],
    ['node02', 'vm'],
    ['node03', 'kind'],
  ]);
  expect(nodeSpecs(options({ provider: 'vm', nodes: 2 })).map(({ provider }) => provider)).toEqual([undefined, undefined]);
});
