import { expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { provenanceJson, type ProvenanceInput } from './provenance.ts';

const INPUT: ProvenanceInput = {
  kvciVersion: '0.1.0',
  options: { k8s: '1.31', base: 'centos-stream-9' },
  base: { id: 'centos-stream-9', name: 'quay.io/centos-bootc/centos-bootc:stream9', digest: sha256('base') },
  system: { kind: 'rpm', distribution: 'centos-stream-9', packages: [{ name: 'bash', version: '5.1.8-9.el9', architecture: 'x86_64' }] },
  payload: {
    source: 'release',
    versions: { kubernetes: '1.31.0', etcd: '3.5.15', coredns: '1.11.1', pause: '3.10' },
    created: '2024-08-13T00:00:00Z',
    inputs: {},
  },
  components: [{ purl: 'pkg:generic/kubelet@1.31.0', name: 'kubelet', version: '1.31.0', digest: sha256('kubelet') }],
  context: [{ path: 'Containerfile', digest: sha256('FROM') }],
};

it('records every input with its digest in the shape of SLSA v1', () => {
  const statement = JSON.parse(provenanceJson({ ...INPUT, subject: { name: 'localhost/node:1.31', digest: sha256('image') } })) as {
    _type: string;
    subject: unknown;
    predicateType: string;
    predicate: { buildDefinition: { externalParameters: unknown; resolvedDependencies: unknown } };
  };
  const hex = (text: string): string => sha256(text).slice('sha256:'.length);
  expect(statement._type).toBe('https://in-toto.io/Statement/v1');
  expect(statement.predicateType).toBe('https://slsa.dev/provenance/v1');
  expect(statement.subject).toEqual([{ name: 'localhost/node:1.31', digest: { sha256: hex('image') } }]);
  expect(statement.predicate.buildDefinition.externalParameters).toEqual({ options: { k8s: '1.31', base: 'centos-stream-9' } });
  expect(statement.predicate.buildDefinition.resolvedDependencies).toEqual([
    { name: 'quay.io/centos-bootc/centos-bootc:stream9', digest: { sha256: hex('base') } },
    { uri: 'pkg:generic/kubelet@1.31.0', name: 'kubelet', digest: { sha256: hex('kubelet') } },
    { uri: 'pkg:rpm/centos/bash@5.1.8-9.el9?arch=x86_64&distro=centos-stream-9', name: 'bash' },
    { name: 'context/Containerfile', digest: { sha256: hex('FROM') } },
  ]);
});

it('leaves the subject out of the record inside the image', () => {
  expect((JSON.parse(provenanceJson(INPUT)) as { subject: unknown }).subject).toEqual([]);
});
