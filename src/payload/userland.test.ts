import { describe, expect, it } from 'vitest';

import { treeEntry } from '../../test/fixtures/layouts.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import { debianComponents, onlyWanted, proxyEntries } from './userland.ts';

const one = (name: string) => ({
  name,
  version: '1:1.0-1+b1',
  architecture: 'amd64',
  sha256: `sha256:${'0'.repeat(64)}` as const,
  size: 1,
  archive: 'debian',
  filename: `pool/main/${name}.deb`,
});
const SET: DebianPackageSet = { suite: 'trixie', architecture: 'amd64', wanted: ['nftables'], packages: [one('bash'), one('nftables')] };

describe('Debian packages of images', () => {
  it('are those that were named, without what a whole system needs', () => {
    expect(onlyWanted(SET).packages.map(({ name }) => name)).toEqual(['nftables']);
    expect(() => onlyWanted({ ...SET, wanted: ['libipset13', 'nftables'] })).toThrow(/libipset13/);
  });

  it('are told by purl and digest', () => {
    expect(debianComponents(onlyWanted(SET))).toEqual([
      {
        purl: 'pkg:deb/debian/nftables@1%3A1.0-1%2Bb1?arch=amd64&distro=trixie',
        name: 'nftables',
        version: '1:1.0-1+b1',
        digest: SET.packages[0]!.sha256,
      },
    ]);
  });
});

it("keeps kube-proxy's programs, libraries and licences, and merges /usr", () => {
  const entries = [
    treeEntry('usr/sbin/'),
    treeEntry('usr/sbin/nft'),
    treeEntry('sbin/ipset'),
    treeEntry('usr/bin/iptables-xml'),
    treeEntry('usr/lib/aarch64-linux-gnu/libmnl.so.0.2.0'),
    treeEntry('usr/lib/aarch64-linux-gnu/xtables/libxt_mark.so'),
    treeEntry('usr/lib/aarch64-linux-gnu/gconv/UTF-7.so'),
    treeEntry('lib/ld-linux-aarch64.so.1'),
    treeEntry('etc/protocols'),
    treeEntry('etc/nftables.conf'),
    treeEntry('usr/share/doc/nftables/copyright'),
    treeEntry('usr/share/doc/nftables/changelog.gz'),
  ];
  const kept = proxyEntries(entries, 'arm64').filter(({ type }) => type === 'file');
  expect(kept.map(({ path }) => path)).toEqual([
    'usr/sbin/nft',
    'usr/sbin/ipset',
    'usr/lib/aarch64-linux-gnu/libmnl.so.0.2.0',
    'usr/lib/aarch64-linux-gnu/xtables/libxt_mark.so',
    'usr/lib/ld-linux-aarch64.so.1',
    'etc/protocols',
    'usr/share/doc/nftables/copyright',
  ]);
  const links = proxyEntries([], 'arm64').map(({ path, linkname }) => `${path} -> ${linkname ?? ''}`);
  expect(links).toContain('lib -> usr/lib');
  expect(links).toContain('usr/sbin/iptables -> xtables-nft-multi');
  expect(links.some((link) => link.startsWith('lib64'))).toBe(false);
});
