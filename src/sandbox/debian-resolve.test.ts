import { describe, expect, test } from 'vitest';

import { parseArchives, parseUris, resolverArgv, unknownPackages } from './debian-resolve.ts';

const SHA = 'e226f661d918f04daf38cdbc4806b7ed7d6ef95c7eb0ade692fc350e31970040';

/** As apt 2.6 and 3.0 print it, hosts replaced. */
const UPDATE = [
  "'http://mirror.example/debian-security/dists/trixie-security/InRelease' mirror.example_x_InRelease 0 ",
  "'http://mirror.example/debian-security/dists/trixie-security/main/binary-amd64/Packages.xz' mirror.example_x_Packages 0 ",
  "'http://mirror.example/debian/dists/trixie/InRelease' mirror.example_y_InRelease 0 ",
  "'http://mirror.example/debian/dists/trixie-updates/InRelease' mirror.example_z_InRelease 0 ",
  "'https://other.example/debian/dists/trixie/InRelease' other.example_y_InRelease 0 ",
  "'file:/srv/packages/./InRelease' _srv_packages_._InRelease 0 ",
].join('\n');

describe('parseArchives', () => {
  test('takes the bases of suites, each once', () => {
    expect([...parseArchives(UPDATE)]).toEqual([
      ['debian-security', ['http://mirror.example/debian-security/']],
      ['debian', ['http://mirror.example/debian/', 'https://other.example/debian/']],
      ['packages', ['file:/srv/packages/']],
    ]);
  });

  test('names an archive at the top of a host', () => {
    expect([...parseArchives("'http://mirror.example/dists/trixie/InRelease' x 0 ")]).toEqual([['archive', ['http://mirror.example/']]]);
  });
});

describe('parseUris', () => {
  const archives = parseArchives(UPDATE);

  test('reads names, epochs and escapes', () => {
    const output = [
      UPDATE,
      `'http://mirror.example/debian-security/pool/updates/main/z/zlib/zlib1g_1.3.dfsg%2breally1.3.1-1%2bdeb13u1_amd64.deb' zlib1g_1%3a1.3.dfsg+really1.3.1-1+deb13u1_amd64.deb 88720 SHA256:${SHA}`,
      `'http://mirror.example/debian/pool/main/b/base-files/base-files_13.8_all.deb' base-files_13.8_all.deb 72660 SHA256:${SHA} `,
      '',
    ].join('\n');
    expect(parseUris(output, archives)).toEqual([
      {
        name: 'base-files',
        version: '13.8',
        architecture: 'all',
        sha256: `sha256:${SHA}`,
        size: 72660,
        archive: 'debian',
        filename: 'pool/main/b/base-files/base-files_13.8_all.deb',
      },
      {
        name: 'zlib1g',
        version: '1:1.3.dfsg+really1.3.1-1+deb13u1',
        architecture: 'amd64',
        sha256: `sha256:${SHA}`,
        size: 88720,
        archive: 'debian-security',
        filename: 'pool/updates/main/z/zlib/zlib1g_1.3.dfsg+really1.3.1-1+deb13u1_amd64.deb',
      },
    ]);
  });

  test.each([
    ['no digest', "'http://mirror.example/debian/pool/a_1_all.deb' a_1_all.deb 1 "],
    ['a weak digest', "'http://mirror.example/debian/pool/a_1_all.deb' a_1_all.deb 1 MD5Sum:0123456789abcdef0123456789abcdef"],
    ['an unknown archive', `'http://elsewhere.example/debian/pool/a_1_all.deb' a_1_all.deb 1 SHA256:${SHA}`],
  ])('refuses %s', (_name, line) => {
    expect(() => parseUris(line, archives)).toThrow(expect.objectContaining({ code: 'apt-output' }));
  });
});

test('only asking where a suite is served downloads no index', () => {
  const request = { suite: 'trixie', architecture: 'arm64', mirrors: ['http://mirror.example/debian'] };
  const argv = resolverArgv({ ...request, wanted: [] });
  expect(argv).toContain('--skip=update');
  expect(argv.slice(-3)).toEqual(['trixie', '/dev/null', 'http://mirror.example/debian']);
  expect(resolverArgv({ ...request, wanted: ['mtools'] })).not.toContain('--skip=update');
});

test.each([
  ['E: Unable to locate package no-such\nE: setup failed: E: command failed: apt-get', ['no-such']],
  ["E: Version '9' for 'mtools' was not found\nE: Unable to locate package b\nE: Unable to locate package b", ['mtools=9', 'b']],
  ["E: Package 'virtual' has no installation candidate", ['virtual']],
  ['E: Failed to fetch http://mirror.example/x  404  Not Found', []],
])('apt saying %j misses %j', (stderr, names) => {
  expect(unknownPackages(stderr)).toEqual(names);
});
