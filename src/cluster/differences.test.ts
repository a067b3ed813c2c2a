import { expect, it } from 'vitest';

import { differences } from './differences.ts';
import { clusterOptionsSchema } from './options.ts';

const there = { options: clusterOptionsSchema.parse({ nodes: 2 }), wanted: 'Kubernetes 1.36 on debian-13', provider: 'kind' as const };

it.each([
  ['nothing is asked for', {}, undefined, []],
  ['the same', { nodes: 2, provider: 'kind' }, 'Kubernetes 1.36 on debian-13', []],
  ['any provider', { provider: 'auto' }, undefined, []],
  ['more nodes', { nodes: 3 }, undefined, ['--nodes: it has 2, you ask for 3']],
  ['memory', { memory: '4G' }, undefined, ['--memory: it has none, you ask for "4G"']],
  ['another provider', { provider: 'vm' }, undefined, ['--provider: it has kind, you ask for vm']],
  [
    'another image',
    {},
    'Kubernetes 1.31 on debian-13',
    ['image: it was made of Kubernetes 1.36 on debian-13, you ask for Kubernetes 1.31 on debian-13'],
  ],
] as const)('%s', (_what, asked, wanted, lines) => {
  expect(differences(there, { asked, wanted })).toEqual(lines);
});
