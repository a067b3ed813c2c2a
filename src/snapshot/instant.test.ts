import { expect, it } from 'vitest';

import { clusterOptionsSchema } from '../cluster/options.ts';
import type { Digest } from '../core/digest.ts';
import { instantKey } from './instant.ts';

const image = (digit: string): { readonly digest: Digest } => ({ digest: `sha256:${digit.repeat(64)}` });
const options = (change: object) => clusterOptionsSchema.parse({ provider: 'vm', nodes: 2, ...change });
const key = instantKey(image('0'), options({}), {});

it.each([{ name: 'lab' }, { image: 'localhost/node:1.36' }, { ipFamily: 'dual' }])('is the same snapshot: %j', (change) => {
  expect(instantKey(image('0'), options(change), {})).toBe(key);
});

it.each([
  { nodes: 3 },
  { memory: '4G' },
  { ipFamily: 'ipv6' },
  { kargs: ['quiet'] },
  { overrides: { node02: { cpus: 4 } } },
  { cpuModel: 'max' },
])('is another: %j', (change) => {
  expect(instantKey(image('0'), options(change), {})).not.toBe(key);
});

it('is another of another image', () => {
  expect(instantKey(image('1'), options({}), {})).not.toBe(key);
});

it('is another of other certificates in the same files', () => {
  const named = options({ cas: { 'registry.example': '/ca.pem' } });
  expect(instantKey(image('0'), named, { 'registry.example': 'a' })).not.toBe(instantKey(image('0'), named, { 'registry.example': 'b' }));
});
