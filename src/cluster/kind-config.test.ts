import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { golden } from '../../test/fixtures/golden.ts';
import { kindConfig } from './kind-config.ts';

const REQUEST = { image: 'localhost/node:1', kubernetes: '1.36.3', nodes: 2, controlPlanes: 1, ipFamily: 'dual' } as const;

interface Written {
  readonly nodes: readonly { readonly role: string; readonly image: string }[];
  readonly kubeadmConfigPatches: readonly string[];
}

const written = (change: object): Written => parse(kindConfig({ ...REQUEST, ...change })) as Written;

describe('what kind is told', () => {
  it.each(['1.31.0', '1.36.3'])('of Kubernetes %s', async (kubernetes) => {
    await golden(`kind/${kubernetes}.yaml`, kindConfig({ ...REQUEST, kubernetes }));
  });

  it('a node for each, control planes first', () => {
    expect(written({ nodes: 4, controlPlanes: 3 }).nodes.map(({ role }) => role)).toEqual([
      'control-plane',
      'control-plane',
      'control-plane',
      'worker',
    ]);
  });

  it('patches of a kind each, which is how kind finds what they are for', () => {
    const kinds = written({}).kubeadmConfigPatches.map((text) => (parse(text) as { readonly kind: string }).kind);
    expect(kinds).toEqual(['InitConfiguration', 'JoinConfiguration', 'KubeProxyConfiguration']);
  });
});
