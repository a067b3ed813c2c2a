import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { mergeKubeconfig, withoutCluster } from './kubeconfig.ts';

const own = (server: string): string => `apiVersion: v1
kind: Config
clusters: [{name: kvci-lab, cluster: {server: "${server}"}}]
users: [{name: kvci-lab, user: {token: t}}]
contexts: [{name: kvci-lab, context: {cluster: kvci-lab, user: kvci-lab}}]
current-context: kvci-lab
`;

const THEIRS = `apiVersion: v1
kind: Config
preferences: {colors: true}
clusters: [{name: work, cluster: {server: "https://work"}}]
users: [{name: work, user: {}}]
contexts: [{name: work, context: {cluster: work, user: work}}]
current-context: work
`;

interface Parsed {
  readonly clusters: readonly { readonly name: string; readonly cluster: object }[];
  readonly 'current-context'?: string;
}

describe('the kubeconfig of a user', () => {
  it('takes a cluster in, once', () => {
    const merged = mergeKubeconfig(mergeKubeconfig(THEIRS, own('https://1'), 'config'), own('https://2'), 'config');
    expect(parse(merged)).toMatchObject({
      preferences: { colors: true },
      clusters: [{ name: 'work' }, { name: 'kvci-lab', cluster: { server: 'https://2' } }],
      'current-context': 'kvci-lab',
    });
  });

  it('may be empty', () => {
    expect((parse(mergeKubeconfig('', own('https://1'), 'config')) as Parsed).clusters).toHaveLength(1);
  });

  it('gives a cluster back, with its context if that is the current one', () => {
    const merged = mergeKubeconfig(THEIRS, own('https://1'), 'config');
    const left = parse(withoutCluster(merged, 'lab', 'config') ?? '') as Parsed;
    expect(left.clusters.map(({ name }) => name)).toEqual(['work']);
    expect(left['current-context']).toBeUndefined();
    expect(withoutCluster(THEIRS, 'lab', 'config')).toBeUndefined();
  });

  it.each(['[1]', 'a: [', 'clusters: 5'])('%s is none', (text) => {
    expect(() => mergeKubeconfig(text, own('https://1'), 'my config')).toThrow('my config is no kubeconfig');
  });
});
