import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { parseVersionRequest } from '../../src/core/versions.ts';
import { packagesSource } from '../../src/payload/packages-source.ts';
import { releaseSource } from '../../src/payload/release-source.ts';
import { kubernetesPackages, makeAptRepository, signApt } from '../fixtures/apt-repository.ts';
import { addRelease, type FileServer, imageRefs, serveFiles, serveFolder } from '../fixtures/http-release-server.ts';
import { isMissing } from '../fixtures/needs.ts';
import { payloadParts, testRun } from '../fixtures/payload-parts.ts';
import { makeRpmRepository, signRpm } from '../fixtures/rpm-repository.ts';
import { signingKey, type SigningKey, tamper } from '../fixtures/signing-key.ts';

const run = promisify(execFile);

/** The first of the programs that is not here. */
async function missingProgram(...programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    const there = await run('sh', ['-c', 'command -v "$0"', program]).then(
      () => true,
      () => false,
    );
    if (!there) return `${program} is not installed`;
  }
  return undefined;
}

const CRIO = '/isv:/cri-o:/stable:/v1.30/rpm/';

const FORMATS = [
  {
    format: 'deb',
    needs: 'apt-ftparchive',
    programs: ['gpg', 'dpkg-deb', 'apt-ftparchive'],
    architecture: 'amd64',
    make: makeAptRepository,
    /** The file that is signed, a change to it, the list of packages that it vouches for, and how it is signed again. */
    signed: 'InRelease',
    tampering: ['SHA256', 'SHA257'],
    list: 'Packages.gz',
    key: 'Release.key',
    sign: async (folder: string, key: SigningKey) => signApt(folder, await readFile(join(folder, 'Release'), 'utf8'), key),
    word: (name: string, version: string) => `${name}=${version}-1.1`,
  },
  {
    format: 'rpm',
    needs: 'createrepo-c',
    programs: ['gpg', 'rpmbuild', 'createrepo_c'],
    architecture: 'x86_64',
    make: makeRpmRepository,
    signed: 'repodata/repomd.xml',
    tampering: ['primary', 'primarx'],
    list: /primary\.xml/,
    key: 'repodata/repomd.xml.key',
    sign: signRpm,
    word: (name: string, version: string) => `${name}-${version}-1.1`,
  },
] as const;

for (const { format, needs, programs, architecture, make, signed, tampering, list, key: keyFile, sign, word } of FORMATS) {
  describe.skipIf(isMissing(needs, await missingProgram(...programs)))(`payload packages from a signed ${format} repository`, () => {
    const scratch = mkdtempSync(join(tmpdir(), `kvci-${format}-`));
    const original = join(scratch, 'repository');
    const prefix = `/core:/stable:/v1.31/${format}/`;
    const context = testRun();
    let key: SigningKey;
    let server: FileServer;

    beforeAll(async () => {
      key = await signingKey();
      await mkdir(original);
      await make(original, kubernetesPackages(['1.31.4', '1.31.10'], architecture), key);
      server = await serveFiles();
      // CRI-O of the minor before: its own may not be out yet.
      if (format === 'rpm') {
        const crio = join(scratch, 'crio');
        await mkdir(crio);
        await makeRpmRepository(
          crio,
          ['1.30.2', '1.30.11'].map((version) => ({ name: 'cri-o', version, release: '1.1', architecture })),
          key,
        );
        await serveFolder(server, CRIO, crio);
      }
      await addRelease(server, '1.31.4');
      await addRelease(server, '1.31.10');
    }, 120_000);
    beforeEach(() => serveFolder(server, prefix, original));
    afterAll(async () => {
      await server[Symbol.asyncDispose]();
      await key[Symbol.asyncDispose]();
      rmSync(scratch, { recursive: true, force: true });
    });

    const source = async (offline = false) => {
      const folder = await mkdtemp(join(scratch, 'store-'));
      return packagesSource({ ...payloadParts(server, folder, offline), format });
    };
    const resolve = async (text: string) => (await source()).resolve(parseVersionRequest(text), 'amd64', context);
    /** Serves a changed copy of the repository. */
    const changed = async (change: (folder: string) => Promise<unknown>): Promise<void> => {
      const folder = await mkdtemp(join(scratch, 'changed-'));
      await run('cp', ['-a', `${original}/.`, folder]);
      await change(folder);
      await serveFolder(server, prefix, folder);
    };

    it.each([
      ['1.31', '1.31.10', undefined],
      ['1.31.4', '1.31.4', '1.31.10'],
    ])('locks exact versions for %s', async (asked, version, newer) => {
      const lock = await resolve(asked);
      expect(lock).toMatchObject({
        source: 'packages',
        versions: { kubernetes: version, etcd: '3.5.15', coredns: '1.11.3', pause: '3.10' },
      });
      expect(lock.newerExists).toBe(newer);
      expect((lock.inputs as { kubernetes: { fingerprints: string[] } }).kubernetes.fingerprints).toEqual([key.fingerprint]);
    });

    it('answers the repository, its key and exact words for the package manager, and preloads the images', async () => {
      const lock = await resolve('1.31.4');
      const payload = await (await source()).make(lock, 'amd64', context);
      expect(payload.files).toEqual([]);
      expect(payload.repository).toEqual({
        baseUrl: `${server.url}${prefix}`,
        key: key.armored,
        packages: [
          word('kubelet', '1.31.4'),
          word('kubeadm', '1.31.4'),
          word('kubectl', '1.31.4'),
          word('cri-tools', '1.31.1'),
          word('kubernetes-cni', '1.5.1'),
        ],
      });
      const crio = { baseUrl: `${server.url}${CRIO}`, key: key.armored, packages: ['cri-o-1.30.11-1.1'] };
      expect(payload.runtimeRepository).toEqual(format === 'rpm' ? crio : undefined);
      expect(payload.images.map(({ ref }) => ref).toSorted()).toEqual(imageRefs('1.31.4').toSorted());
      expect(payload.components[0]).toMatchObject({ purl: `pkg:${format}/kubernetes/kubelet@1.31.4-1.1?arch=${architecture}` });
    });

    it.each(['1.31.7', '1.32'])('lists what is served when %s is not', async (asked) => {
      const served = asked === '1.32' ? '1.31' : '1.31.10, 1.31.4';
      await expect(resolve(asked)).rejects.toMatchObject({
        code: 'version-not-served',
        exitCode: 5,
        hint: `It serves ${served}, among others.`,
      });
    });

    it('refuses a signed file that somebody changed', async () => {
      await changed((folder) => tamper(join(folder, signed), tampering[0], tampering[1]));
      await expect(resolve('1.31')).rejects.toMatchObject({ code: 'bad-signature' });
    });

    it('refuses a repository that another key signed', async () => {
      await using other = await signingKey('somebody else');
      await changed(async (folder) => {
        await sign(folder, other);
        await writeFile(join(folder, keyFile), key.armored);
      });
      await expect(resolve('1.31')).rejects.toMatchObject({
        code: 'bad-signature',
        message: expect.stringContaining('is not signed by the key of') as string,
      });
    });

    it('refuses a list of packages that is not the signed one', async () => {
      const path = [...server.files.keys()].find(
        (name) => name.startsWith(prefix) && (typeof list === 'string' ? name.endsWith(`/${list}`) : list.test(name)),
      )!;
      server.files.set(path, 'something else');
      await expect(resolve('1.31')).rejects.toMatchObject({ code: 'checksum-mismatch' });
    });

    it('refuses what is no key and what is no signature', async () => {
      server.files.set(`${prefix}${keyFile}`, '<html>Sign in</html>');
      await expect(resolve('1.31')).rejects.toMatchObject({ code: 'bad-key' });
      await serveFolder(server, prefix, original);
      server.files.set(`${prefix}${format === 'deb' ? 'InRelease' : `${signed}.asc`}`, 'nothing of the kind');
      await expect(resolve('1.31')).rejects.toMatchObject({ code: 'bad-signature' });
    });

    it.skipIf(format === 'deb')('gives CRI-O to nodes with release binaries too', async () => {
      const folder = await mkdtemp(join(scratch, 'store-'));
      const source = releaseSource({ ...payloadParts(server, folder), containerd: false });
      const lock = await source.resolve(parseVersionRequest('1.31.4'), 'amd64', context);
      expect(lock.versions.containerd).toBeUndefined();
      const payload = await source.make(lock, 'amd64', context);
      expect(payload.runtimeRepository?.packages).toEqual(['cri-o-1.30.11-1.1']);
      expect(payload.files.map(({ path }) => path).filter((path) => /containerd|runc/.test(path))).toEqual([]);
      expect(payload.components.at(-1)).toMatchObject({ purl: 'pkg:rpm/cri-o/cri-o@1.30.11-1.1?arch=x86_64' });
    });

    it.skipIf(format === 'deb')('says that there is no CRI-O', async () => {
      for (const path of [...server.files.keys()]) if (path.startsWith(CRIO)) server.files.delete(path);
      await expect(resolve('1.31')).rejects.toMatchObject({ code: 'version-not-served', hint: 'It was asked for 1.31 and 1.30.' });
      await serveFolder(server, CRIO, join(scratch, 'crio'));
    });

    it.skipIf(format === 'rpm')('reads Release with Release.gpg where there is no InRelease', async () => {
      await changed((folder) => rm(join(folder, 'InRelease')));
      expect((await resolve('1.31')).versions.kubernetes).toBe('1.31.10');
    });

    it('is asked nothing offline', async () => {
      expect(await (await source(true)).probe()).toMatchObject({ usable: false });
      expect(await (await source()).probe()).toMatchObject({ usable: true });
    });

    it.skipIf(format === 'rpm')('is what apt itself takes: key, list and exact versions', async () => {
      const lock = await resolve('1.31.4');
      const { repository } = await (await source()).make(lock, 'amd64', context);
      const root = await mkdtemp(join(scratch, 'apt-'));
      for (const folder of ['state/lists/partial', 'cache/archives/partial']) await mkdir(join(root, folder), { recursive: true });
      await writeFile(join(root, 'key.asc'), repository!.key);
      await writeFile(join(root, 'status'), '');
      await writeFile(join(root, 'sources.list'), `deb [arch=amd64 signed-by=${join(root, 'key.asc')}] ${repository!.baseUrl} /\n`);
      const options = {
        'Dir::Etc::SourceList': join(root, 'sources.list'),
        'Dir::Etc::SourceParts': '/dev/null',
        'Dir::State': join(root, 'state'),
        'Dir::State::status': join(root, 'status'),
        'Dir::Cache': join(root, 'cache'),
        'APT::Architecture': 'amd64',
        'APT::Sandbox::User': 'root',
        'Acquire::http::Proxy': 'DIRECT',
      };
      const apt = async (...args: string[]) =>
        run('apt-get', [...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]), ...args]);
      await apt('update');
      const { stdout } = await apt('install', '--simulate', '--yes', ...repository!.packages);
      expect(stdout).toMatch(/Inst kubelet \(1\.31\.4-1\.1 /);
      expect(stdout).not.toMatch(/1\.31\.10/);
    });
  });
}
