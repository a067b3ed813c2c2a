import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { sbomJson, systemComponents, type SbomInput } from './sbom.ts';

const BASH = {
  name: 'bash',
  version: '5.2.37-2+b5',
  architecture: 'amd64',
  digest: sha256('bash'),
} as const;

const INPUT: SbomInput = {
  created: '2026-01-02T03:04:05Z',
  kvciVersion: '0.1.0',
  image: { name: 'kvci/node', version: '1.31.0' },
  base: { name: 'quay.io/centos-bootc/centos-bootc:stream9', digest: sha256('base') },
  system: {
    kind: 'deb',
    distribution: 'debian-13',
    packages: [BASH, { ...BASH, name: 'apt', version: '1:3.0.3' }],
  },
  payload: [{ purl: 'pkg:golang/k8s.io/kubernetes@v1.31.0', name: 'k8s.io/kubernetes', version: 'v1.31.0', digest: sha256('kubernetes') }],
};

describe('sbom', () => {
  it('is valid CycloneDX 1.6', async () => {
    expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(sbomJson(INPUT))).toBeNull();
  });

  it('names every package, the payload and the base', () => {
    const bom = JSON.parse(sbomJson(INPUT)) as {
      metadata: { timestamp: string };
      serialNumber?: string;
      components: { purl: string; hashes?: object[] }[];
    };
    expect(bom.components.map(({ purl }) => purl).toSorted()).toEqual([
      'pkg:deb/debian/apt@1%3A3.0.3?arch=amd64&distro=debian-13',
      'pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=debian-13',
      'pkg:golang/k8s.io/kubernetes@v1.31.0',
      expect.stringMatching(/^pkg:oci\/centos-bootc@sha256%3A[0-9a-f]{64}\?repository_url=quay\.io%2Fcentos-bootc%2Fcentos-bootc$/),
    ]);
    expect(bom.components.find(({ purl }) => purl.startsWith('pkg:golang'))?.hashes).toEqual([
      { alg: 'SHA-256', content: sha256('kubernetes').slice(7) },
    ]);
    expect(bom.metadata.timestamp).toBe('2026-01-02T03:04:05.000Z');
    expect(bom.serialNumber).toBeUndefined();
  });

  it('does not depend on the order of packages', () => {
    const { system } = INPUT;
    const reversed = { ...system, packages: system.packages.toReversed() };
    expect(sbomJson({ ...INPUT, system: reversed })).toBe(sbomJson(INPUT));
  });

  it('writes rpm packages with their epoch apart', () => {
    const packages = [
      { name: 'bind-libs', version: '32:9.16.23-1.el9', architecture: 'x86_64' },
      { name: 'bash', version: '5.1.8-9.el9', architecture: 'x86_64' },
    ];
    expect(systemComponents({ kind: 'rpm', distribution: 'centos-stream-9', packages }).map(({ purl }) => purl)).toEqual([
      'pkg:rpm/centos/bind-libs@9.16.23-1.el9?arch=x86_64&distro=centos-stream-9&epoch=32',
      'pkg:rpm/centos/bash@5.1.8-9.el9?arch=x86_64&distro=centos-stream-9',
    ]);
  });
});
