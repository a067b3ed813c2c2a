import { expect, it } from 'vitest';

import { bootstrapToken, certificateKey } from '../tokens.ts';
import { readManifest } from '../manifest.ts';
import { parseMarker } from '../node-facts.ts';
import { pauseImage } from './probe.ts';

it('a join token is random and of the form that Kubernetes wants', () => {
  const tokens = [bootstrapToken().reveal(), bootstrapToken().reveal()];
  expect(tokens[0]).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/);
  expect(tokens[0]).not.toBe(tokens[1]);
  expect(certificateKey().reveal()).toMatch(/^[0-9a-f]{64}$/);
});

it('the controllers that a node lacks', () => {
  expect(parseMarker('missing-controllers: memory pids\n')).toEqual(['memory', 'pids']);
  expect(parseMarker('missing-controllers:\n')).toEqual([]);
});

it('the pause image of a node', () => {
  expect(pauseImage('registry.k8s.io/etcd:3.6 sha256:1\nregistry.k8s.io/pause:3.10 sha256:2\n')).toBe('registry.k8s.io/pause:3.10');
  expect(() => pauseImage('registry.k8s.io/etcd:3.6 sha256:1\n')).toThrow('lists no pause image');
});

it('a manifest, what others need first', () => {
  const text =
    'kind: Pod\napiVersion: v1\nmetadata: {name: a}\n---\n# nothing\n---\nkind: Namespace\napiVersion: v1\nmetadata: {name: b}\n';
  expect(readManifest(text, 'm.yaml').map(({ kind }) => kind)).toEqual(['Namespace', 'Pod']);
  expect(() => readManifest('a: [', 'm.yaml')).toThrow('m.yaml:');
  expect(() => readManifest('kind: Pod\n', 'm.yaml')).toThrow('m.yaml: a document is no object of Kubernetes');
});
