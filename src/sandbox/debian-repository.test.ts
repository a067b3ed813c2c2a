import { describe, expect, test } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { fileOf, packagesIndex, packageSetKey, releaseFile, urlsOf } from './debian-repository.ts';
import type { DebianPackage, DebianPackageSet } from './debian-types.ts';

const hello: DebianPackage = {
  name: 'hello',
  version: '1:2.10-3+b1',
  architecture: 'amd64',
  sha256: sha256('hello'),
  size: 5,
  archive: 'debian',
  filename: 'pool/main/h/hello/hello_2.10-3+b1_amd64.deb',
};
const set: DebianPackageSet = { suite: 'trixie', architecture: 'amd64', wanted: ['hello'], packages: [hello] };

describe('packageSetKey', () => {
  test('does not depend on where packages are served or who asked for them', () => {
    const moved = { ...hello, archive: 'mirror', filename: 'hello.deb' };
    expect(packageSetKey({ ...set, wanted: [], packages: [moved] })).toBe(packageSetKey(set));
  });

  test.each([
    ['suite', { ...set, suite: 'forky' }],
    ['architecture', { ...set, architecture: 'arm64' }],
    ['packages', { ...set, packages: [{ ...hello, sha256: sha256('other') }] }],
  ])('depends on the %s', (_name, other) => {
    expect(packageSetKey(other)).not.toBe(packageSetKey(set));
  });
});

test('a package may be on any mirror of its archive', () => {
  const archives = new Map([['debian', ['http://one.example/debian/', 'http://two.example/']]]);
  expect(urlsOf(hello, archives)).toEqual([
    'http://one.example/debian/pool/main/h/hello/hello_2.10-3%2Bb1_amd64.deb',
    'http://two.example/pool/main/h/hello/hello_2.10-3%2Bb1_amd64.deb',
  ]);
  expect(urlsOf({ ...hello, archive: 'gone' }, archives)).toEqual([]);
});

describe('packagesIndex', () => {
  const other: DebianPackage = { ...hello, name: 'libhello', sha256: sha256('lib') };

  test('adds to control fields where the file is', () => {
    expect(packagesIndex([hello, other], 'Package: hello\nDescription: x\n a\n .\n b\n\nPackage: libhello\nVersion: 1\n\n')).toBe(
      [
        'Package: hello\nDescription: x\n a\n .\n b',
        `Filename: ./${fileOf(hello)}\nSize: 5\nSHA256: ${hello.sha256.slice(7)}\n`,
        'Package: libhello\nVersion: 1',
        `Filename: ./${fileOf(other)}\nSize: 5\nSHA256: ${other.sha256.slice(7)}\n`,
      ].join('\n'),
    );
  });

  test.each([
    ['another package', 'Package: hello2\n\n'],
    ['nothing', ''],
  ])('refuses %s', (_name, controls) => {
    expect(() => packagesIndex([hello], controls)).toThrow(expect.objectContaining({ code: 'package-mismatch' }));
  });
});

test('the release file names suite, code name and the index', () => {
  expect(releaseFile(set, 'index')).toBe(
    `Suite: trixie\nCodename: trixie\nArchitectures: amd64 all\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n ${sha256('index').slice(7)} 5 Packages\n`,
  );
});
