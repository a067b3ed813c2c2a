import { describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { packagesIndex, readPackages } from './packages-apt.ts';
import { newestPackages, upstreamVersion } from './packages-repository.ts';
import { primaryIndex, readPrimary } from './packages-rpm.ts';
import { choosePackages } from './packages-source.ts';

const HEX = sha256('x').slice('sha256:'.length);
const OTHER = sha256('y').slice('sha256:'.length);

describe('apt', () => {
  it.each([
    ['the best that can be read', `SHA256:\n ${OTHER} 10 Packages\n ${HEX} 5 Packages.gz\n ${OTHER} 4 Packages.xz\n`, 'Packages.gz'],
    ['the plain one', `MD5Sum:\n abc 1 Packages.gz\nSHA256:\n ${HEX} 10 ./Packages\nAcquire-By-Hash: no\n`, 'Packages'],
  ])('takes %s of the lists of packages', (_title, release, path) => {
    expect(packagesIndex(release, 'https://x/')).toEqual({ path, sha256: `sha256:${HEX}` });
  });

  it('refuses a Release file without sha256', () => {
    expect(() => packagesIndex('MD5Sum:\n abc 1 Packages\n', 'https://x/')).toThrow(
      'https://x/Release names no list of packages with a sha256',
    );
  });

  it('reads stanzas', () => {
    const text = `Package: kubelet\nVersion: 1.31.4-1.1\nArchitecture: amd64\nDescription: Node\n Agent\nSHA256: ${HEX}\n\nPackage: x\nVersion: 1\nArchitecture: all\nSHA256: ${OTHER}\n`;
    expect(readPackages(text, 'url')).toEqual([
      { name: 'kubelet', version: '1.31.4-1.1', architecture: 'amd64', sha256: `sha256:${HEX}` },
      { name: 'x', version: '1', architecture: 'all', sha256: `sha256:${OTHER}` },
    ]);
    expect(() => readPackages('Package: kubelet\n', 'https://x/Packages')).toThrow('https://x/Packages has a stanza without');
  });
});

describe('rpm', () => {
  const repomd = (type: string): string =>
    `<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="${type}"><checksum type="sha256">${HEX}</checksum><location href="repodata/p.xml.gz"/></data></repomd>`;

  it('finds the list of packages', () => {
    expect(primaryIndex(repomd('primary'), 'url')).toEqual({ path: 'repodata/p.xml.gz', sha256: `sha256:${HEX}` });
    for (const text of [repomd('filelists'), '<html>', 'nothing'])
      expect(() => primaryIndex(text, 'https://x')).toThrow('https://x names no list of packages');
  });

  it('reads packages, numbers as the text they are', () => {
    const one = (epoch: string, version: string): string =>
      `<package type="rpm"><name>cri-o</name><arch>x86_64</arch><version epoch="${epoch}" ver="${version}" rel="1.10"/><checksum type="sha256" pkgid="YES">${HEX}</checksum></package>`;
    const list = (...packages: readonly string[]): string => `<metadata packages="${packages.length}">${packages.join('')}</metadata>`;
    expect(readPrimary(list(one('0', '1.30'), one('2', '1.31.0')), 'url').map(({ version }) => version)).toEqual([
      '1.30-1.10',
      '2:1.31.0-1.10',
    ]);
    expect(readPrimary(list(one('0', '1.30')), 'url')).toHaveLength(1);
  });
});

describe('versions', () => {
  const listed = (name: string, version: string) => ({ name, version, architecture: 'amd64', sha256: sha256(name + version) });
  const REPOSITORY = [
    ...['1.31.9-1.1', '1.31.10-1.1', '1.31.10-2.1', '1.31.11~rc.1-1.1'].flatMap((version) =>
      ['kubelet', 'kubeadm', 'kubectl'].map((name) => listed(name, version)),
    ),
    listed('cri-tools', '1.31.1-1.1'),
    listed('kubernetes-cni', '1.9.0-1.1'),
    listed('kubernetes-cni', '1.10.0-1.1'),
  ];

  it('are ordered by their numbers', () => {
    expect(newestPackages(REPOSITORY.filter(({ name }) => name === 'kubernetes-cni')).map(({ version }) => version)).toEqual([
      '1.10.0-1.1',
      '1.9.0-1.1',
    ]);
    expect(['1.31.4-1.1', '2:1.31.4-1', '1.32.0~rc.1-1.1'].map((version) => upstreamVersion({ version }))).toEqual([
      '1.31.4',
      '1.31.4',
      '1.32.0-rc.1',
    ]);
  });

  it.each([
    [{ kind: 'minor', minor: '1.31' } as const, '1.31.10-2.1', undefined],
    [{ kind: 'exact', version: '1.31.9' } as const, '1.31.9-1.1', '1.31.10'],
    [{ kind: 'exact', version: '1.31.11-rc.1' } as const, '1.31.11~rc.1-1.1', '1.31.10'],
  ])('are chosen for %j: the newest build of the newest stable patch', (request, kubelet, newer) => {
    const chosen = choosePackages(request, REPOSITORY, 'url');
    expect(chosen.packages.map(({ name, version }) => `${name} ${version}`)).toEqual([
      `kubelet ${kubelet}`,
      `kubeadm ${kubelet}`,
      `kubectl ${kubelet}`,
      'cri-tools 1.31.1-1.1',
      'kubernetes-cni 1.10.0-1.1',
    ]);
    if (request.kind !== 'exact' || !request.version.includes('rc')) expect(chosen.newer).toBe(newer);
  });

  it('lack a package by name', () => {
    const without = REPOSITORY.filter(({ name }) => name !== 'kubectl');
    expect(() => choosePackages({ kind: 'minor', minor: '1.31' }, without, 'https://x/')).toThrow(
      'https://x/ has no package kubectl for Kubernetes 1.31.10',
    );
  });
});
