import { expect, test } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { rootArgv } from './debian-root.ts';

test('a root is made of exactly the packages of the set, from its repository alone', () => {
  const entry = { version: '1', architecture: 'all', sha256: sha256(''), size: 0, archive: 'debian', filename: 'x' };
  const argv = rootArgv({
    set: { suite: 'trixie', architecture: 'amd64', wanted: [], packages: ['apt', 'dpkg'].map((name) => ({ ...entry, name })) },
    repository: '/cache/a b/packages',
    output: { format: 'directory', path: '/out' },
    sourceDateEpoch: 0,
    dpkgOptions: ['path-exclude=/usr/share/man/*'],
    sources: [],
    hooks: { customize: ['touch "$1/x"'], setup: ['true'] },
  });
  expect(argv).toEqual([
    ...['mmdebstrap', '--mode=root', '--variant=essential', '--format=directory', '--architectures=amd64', '--include=apt,dpkg'],
    ...['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'],
    '--dpkgopt=path-exclude=/usr/share/man/*',
    ...[
      '--setup-hook=true',
      '--customize-hook=touch "$1/x"',
      expect.stringContaining('--customize-hook=rm -f "$1"/etc/apt/sources.list.d/*') as string,
    ],
    ...['trixie', '/out', 'deb [trusted=yes] copy:/cache/a%20b/packages ./'],
  ]);
});
