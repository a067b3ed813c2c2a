import { expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { imageLabels, kubernetesRevision, type LabelInput } from './labels.ts';

const INPUT: LabelInput = {
  created: '2026-01-01T00:00:00Z',
  kvciVersion: '0.1.0',
  versions: { kubernetes: '1.36.3', etcd: '3.6.8', coredns: '1.14.3', pause: '3.10.2' },
  payloadSource: 'modules',
  base: { id: 'debian-13', title: 'Debian 13' },
  inputs: sha256('inputs'),
};

it('says what an image is made of, sorted, without what is not known', () => {
  const labels = imageLabels(INPUT);
  expect(Object.keys(labels)).toEqual(Object.keys(labels).toSorted());
  expect(labels).toMatchObject({
    'containers.bootc': '1',
    'org.opencontainers.image.created': '2026-01-01T00:00:00Z',
    'org.opencontainers.image.title': 'Kubernetes 1.36.3 node on Debian 13',
    'org.opencontainers.image.version': '1.36.3',
    'org.opencontainers.image.source': 'https://github.com/kubernetes/kubernetes',
    'org.opencontainers.image.revision': 'v1.36.3',
    'io.kvci.kubernetes.version': '1.36.3',
  });
  expect(labels).not.toHaveProperty('io.kvci.containerd.version');
});

it('lets --label add and replace, but not the label that makes it bootable', () => {
  const labels = imageLabels({ ...INPUT, extra: { team: 'virt', 'org.opencontainers.image.title': 'Ours', 'containers.bootc': '0' } });
  expect(labels).toMatchObject({ team: 'virt', 'org.opencontainers.image.title': 'Ours', 'containers.bootc': '1' });
});

it.each([
  ['1.36.3', 'v1.36.3'],
  ['1.37.0-rc.1', 'v1.37.0-rc.1'],
  ['1.37.0-alpha.1.23+4f1c9d6c0a1b5e', '4f1c9d6c0a1b5e'],
  ['1.37.0-alpha.1.23+4f1c9d6c0a1b5e-dirty', '4f1c9d6c0a1b5e'],
])('Kubernetes %s is of revision %s', (version, revision) => {
  expect(kubernetesRevision(version)).toBe(revision);
});
