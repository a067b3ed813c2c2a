import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { undiciDownloads } from '../../src/host/adapters/undici-downloads.ts';
import { systemClock } from '../../src/host/clock.ts';
import { makeDirectories } from '../../src/host/directories.ts';
import { fileLedger } from '../../src/host/ledger.ts';
import { fileLocks } from '../../src/host/locks.ts';
import { createArtifactStore } from '../../src/host/store/artifact-store.ts';
import type { ArtifactStore, Directories } from '../../src/host/types.ts';
import { openDebianHost } from '../../src/sandbox/debian-host.ts';
import { fetchPackages } from '../../src/sandbox/debian-repository.ts';
import { type DebianHost, findArchives, resolvePackages } from '../../src/sandbox/debian-resolve.ts';
import { buildRoot } from '../../src/sandbox/debian-root.ts';
import type { DebianArchives, DebianPackageSet } from '../../src/sandbox/debian-types.ts';
import type { Sandboxes } from '../../src/sandbox/types.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';

const NEVER = new AbortController().signal;
const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

let folder: string;
let directories: Directories;
let sandboxes: Sandboxes;
let store: ArtifactStore;
let host: DebianHost & AsyncDisposable;
let set: DebianPackageSet;
let archives: DebianArchives;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-debian-'));
  directories = await makeDirectories({ cache: join(folder, 'cache'), state: join(folder, 'state'), runtime: join(folder, 'run') });
  sandboxes = testSandboxes(await toolsTree(), folder);
  store = createArtifactStore({ directories, locks: fileLocks(systemClock), clock: systemClock });
  host = await openDebianHost({ directories, ledger: fileLedger(directories), sandboxes }, NEVER);
  ({ set, archives } = await resolvePackages({ suite: 'trixie', architecture: ARCHITECTURE, wanted: ['mtools'] }, host));
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const fetchAll = (packages: DebianPackageSet, offline: boolean) =>
  fetchPackages(packages, {
    store,
    downloads: undiciDownloads({ offline }),
    commands: host.commands,
    archives: () => Promise.resolve(archives),
    signal: NEVER,
  });

/** A root of the set made in a sandbox without network; answers the tar's digest and what dpkg says is installed. */
async function rootOf(repository: string, umask: string): Promise<{ digest: string; installed: string[] }> {
  const parts = { directories, ledger: fileLedger(directories), sandboxes };
  const offline: Pick<Sandboxes, 'start'> = { start: (request) => sandboxes.start({ ...request, network: 'private' }) };
  await using place = await openDebianHost({ ...parts, sandboxes: { ...sandboxes, ...offline } }, NEVER);
  const path = join(place.temporary, 'root.tar');
  const former = process.umask(Number.parseInt(umask, 8));
  try {
    const output = { format: 'tar', path } as const;
    const dpkgOptions = ['path-exclude=/usr/share/man/*'];
    await buildRoot({ set, repository, output, sourceDateEpoch: 1_754_697_600, dpkgOptions, sources: ['# none'] }, place);
  } finally {
    process.umask(former);
  }
  const digest = (await place.commands.run(['sha256sum', path])).stdout.split(' ')[0] ?? '';
  const status = (await place.commands.run(['tar', '--extract', '--to-stdout', `--file=${path}`, './var/lib/dpkg/status'])).stdout;
  const files = (await place.commands.run(['tar', '--list', `--file=${path}`])).stdout;
  expect(files).toContain('./usr/bin/mtools\n');
  expect(files).not.toMatch(/^\.\/usr\/share\/man\/.*[^/]$/m);
  const sources = await place.commands.run(['tar', '--extract', '--to-stdout', `--file=${path}`, './etc/apt/sources.list'], {
    accept: [2],
  });
  expect([sources.exitCode, sources.stdout]).toEqual([0, '# none\n']);
  const installed = status
    .split('\n\n')
    .filter((stanza) => stanza.includes('\nStatus: install ok installed\n'))
    .map((stanza) => /^Package: (.*)/.exec(stanza)![1]!);
  return { digest, installed: installed.toSorted() };
}

it('resolves wanted, essential and needed packages, exactly', async () => {
  const names = set.packages.map(({ name }) => name);
  expect(names).toEqual(names.toSorted());
  expect(names).toEqual(expect.arrayContaining(['mtools', 'dpkg', 'base-files', 'libc6']));
  expect(set).toMatchObject({ suite: 'trixie', architecture: ARCHITECTURE, wanted: ['mtools'] });
  expect([...archives.keys()].toSorted()).toEqual(['debian', 'debian-security']);
  expect(await findArchives({ suite: 'trixie', architecture: ARCHITECTURE }, host)).toEqual(archives);
});

it('names a package that does not exist', async () => {
  const wanted = ['mtools', 'no-such-package'];
  await expect(resolvePackages({ suite: 'trixie', architecture: ARCHITECTURE, wanted }, host)).rejects.toMatchObject({
    code: 'package-unknown',
    message: `Debian trixie (${ARCHITECTURE}) does not serve no-such-package`,
  });
});

it('keeps packages by digest: what is here needs no mirror, what is not is named', async () => {
  const repository = await fetchAll(set, false);
  expect((await fetchAll(set, true)).path).toBe(repository.path);
  await fetchAll({ ...set, packages: set.packages.filter(({ name }) => name !== 'mtools') }, true);

  const gone = {
    ...set.packages[0]!,
    version: '0.1',
    sha256: `sha256:${'0'.repeat(64)}`,
    filename: 'pool/main/g/gone/gone_0.1_all.deb',
  } as const;
  const later = { ...set, packages: [gone, ...set.packages.slice(1)] };
  await expect(fetchAll(later, true)).rejects.toMatchObject({ code: 'offline' });
  await expect(fetchAll(later, false)).rejects.toMatchObject({
    code: 'package-not-served',
    facts: { package: gone.name, version: '0.1', archive: gone.archive },
  });
});

it('makes the same root twice, of these packages alone and without network', async () => {
  const repository = await fetchAll(set, false);
  const one = await rootOf(repository.path, '022');
  expect(one.installed).toEqual(set.packages.map(({ name }) => name));
  expect(await rootOf(repository.path, '077')).toEqual(one);
});
