import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { findPackageManager, fixCommands, installCommands, managerOfRelease } from './package-manager.ts';
import type { CommandRunner } from './types.ts';

test.each([
  ['ID=debian\nVERSION_ID="13"\n', 'apt'],
  ['NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"', 'apt'],
  ['ID=fedora', 'dnf'],
  ['ID="rocky"\nID_LIKE="rhel centos fedora"', 'dnf'],
  ["ID='centos'", 'dnf'],
  ['VERSION_ID=debian\nID=arch', undefined],
  ['', undefined],
])('%j is managed by %s', (text, expected) => {
  expect(managerOfRelease(text)).toBe(expected);
});

test('the package manager has to be there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-manager-'));
  const release = join(folder, 'os-release');
  await writeFile(release, 'ID=fedora\n');
  const asked: string[][] = [];
  const host: CommandRunner = {
    where: 'host',
    run: (argv) => {
      asked.push([...argv]);
      return Promise.resolve({ argv, exitCode: 0, stdout: '', stderr: '', ms: 1 });
    },
  };
  const without: CommandRunner = { where: 'host', run: () => Promise.reject(new KvciError('hostNotReady', 'command-missing', 'no dnf')) };
  expect(await findPackageManager(host, release)).toBe('dnf');
  expect(asked).toEqual([['dnf', '--version']]);
  expect(await findPackageManager(without, release)).toBeUndefined();
  expect(await findPackageManager(host, join(folder, 'none'))).toBeUndefined();
  await rm(folder, { recursive: true });
});

test('installs without questions, each package once', () => {
  expect(installCommands('apt', ['uidmap', 'mmdebstrap', 'uidmap'])).toEqual([
    ['apt-get', 'update'],
    ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', '--yes', '--no-install-recommends', 'mmdebstrap', 'uidmap'],
  ]);
  expect(installCommands('dnf', ['golang'])).toEqual([['dnf', 'install', '--assumeyes', '--setopt=install_weak_deps=False', 'golang']]);
  expect(installCommands('apt', [])).toEqual([]);
});

const go = { level: 'error', message: 'no Go', packages: { apt: ['golang-go'], dnf: ['golang'] } } as const;
const ids = {
  level: 'error',
  message: 'no ids',
  packages: { apt: ['uidmap'], dnf: ['shadow-utils'] },
  commands: [['usermod', '--add-subuids', '1-2', 'me']],
} as const;

test('one installation for all problems, then their commands', () => {
  expect(fixCommands([ids, go, ids], 'dnf')).toEqual([
    ['dnf', 'install', '--assumeyes', '--setopt=install_weak_deps=False', 'golang', 'shadow-utils'],
    ['usermod', '--add-subuids', '1-2', 'me'],
  ]);
  expect(fixCommands([ids, go], undefined)).toEqual([['usermod', '--add-subuids', '1-2', 'me']]);
  expect(fixCommands([], 'apt')).toEqual([]);
});
