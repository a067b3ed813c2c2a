import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { BuiltImage } from '../../../src/cli/services.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { systemClock } from '../../../src/host/clock.ts';
import { fileLocks } from '../../../src/host/locks.ts';
import type { CheckReport } from '../../../src/image/check/types.ts';
import { imageTree, readFile as readImageFile, readImageAt } from '../../../src/oci/image.ts';
import { openLayout } from '../../../src/oci/layout.ts';
import { requireManifest } from '../../../src/oci/manifests.ts';
import type { Tree } from '../../../src/oci/tree.ts';
import { kvci, run, type Run } from '../../cli/run-kvci.ts';
import { addRelease, type FileServer, serveFiles, serveFolder } from '../../fixtures/http-release-server.ts';
import { makeRpmBase, RPM_TEST_CACHE } from '../../fixtures/rpm-base.ts';
import { besideKubernetes, crioRpm, distributionPackages, KERNEL, kubernetesRpms, OF_THE_BASE } from '../../fixtures/rpm-packages.ts';
import { makeRpmRepository, type TestRpm } from '../../fixtures/rpm-repository.ts';
import { type SigningKey, signingKey } from '../../fixtures/signing-key.ts';

const KUBERNETES = '1.34.4';
/** Its packages are in the same signed list, but somebody else signed them. */
const FORGED = '1.34.5';
const TAG = 'localhost/kvci-test/node:rpm';
const DATABASE = 'usr/lib/sysimage/rpm/';

const OS_RELEASE = 'ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="10"\nPRETTY_NAME="CentOS Stream 10 (stand-in)"\n';

describe('a node on a base with dnf', () => {
  let folder: string;
  let server: FileServer;
  let keys: {
    readonly distribution: SigningKey;
    readonly kubernetes: SigningKey;
    readonly crio: SigningKey;
    readonly stranger: SigningKey;
  };
  let base: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-rpm-'));
    server = await serveFiles();
    keys = {
      distribution: await signingKey('distribution'),
      kubernetes: await signingKey('kubernetes'),
      crio: await signingKey('cri-o'),
      stranger: await signingKey('stranger'),
    };
    const { distribution, kubernetes, crio, stranger } = keys;
    await serveRepository('/distribution/', await distributionPackages(distribution), distribution);
    await serveRepository(
      '/core:/stable:/v1.34/rpm/',
      [
        ...(await kubernetesRpms(KUBERNETES, kubernetes)),
        ...(await kubernetesRpms(FORGED, stranger)),
        ...(await besideKubernetes(kubernetes)),
      ],
      kubernetes,
    );
    await serveRepository('/isv:/cri-o:/stable:/v1.34/rpm/', [await crioRpm('1.34.2', crio)], crio);
    await addRelease(server, KUBERNETES);
    await addRelease(server, FORGED);
    base = await serveBase();
    const mirrors = { kubernetes: server.url, packages: server.url, crio: server.url, registry: server.host };
    await writeFile(join(folder, 'kvci.yaml'), JSON.stringify({ mirrors }));
  });

  afterAll(async () => {
    await onKvci('image', 'rm', TAG);
    await server[Symbol.asyncDispose]();
    for (const key of Object.values(keys)) await key[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function serveRepository(path: string, packages: readonly TestRpm[], key: SigningKey): Promise<void> {
    const made = join(folder, 'repositories', path.replaceAll(/[/:]/g, '-'));
    await mkdir(made, { recursive: true });
    await makeRpmRepository(made, packages, key);
    await serveFolder(server, path, made);
  }

  /** The base in a registry on localhost that speaks plain HTTP. */
  async function serveBase(): Promise<string> {
    const { layout, manifest } = await makeRpmBase(
      {
        osRelease: OS_RELEASE,
        repository: `${server.url}/distribution/`,
        key: keys.distribution.armored,
        installed: OF_THE_BASE.map((name) => (name === 'kernel-core' ? `kernel-core-${KERNEL.version}-${KERNEL.release}` : name)),
      },
      folder,
    );
    await serveFolder(server, '/v2/team/base/blobs/', join(layout, 'blobs/sha256'));
    for (const path of [...server.files.keys()]) {
      const [, hex] = /^\/v2\/team\/base\/blobs\/([0-9a-f]{64})$/.exec(path) ?? [];
      if (hex !== undefined) server.files.set(`/v2/team/base/blobs/sha256:${hex}`, server.files.get(path) ?? '');
    }
    const bytes = server.files.get(`/v2/team/base/blobs/${manifest}`) ?? '';
    server.files.set('/v2/', '{}').set(`/v2/team/base/manifests/${manifest}`, bytes).set('/v2/team/base/manifests/10', bytes);
    return `localhost:${new URL(server.url).port}/team/base:10`;
  }

  const onKvci = (...args: readonly string[]): Promise<Run> => kvci(args, { cwd: folder, env: { KVCI_CACHE_DIR: RPM_TEST_CACHE } });
  const build = (version: string): Promise<Run> => {
    const what = ['--k8s', version, '--base', base, '--payload', 'packages', '--tag', TAG];
    return onKvci('image', 'build', ...what, '--engine', 'embedded', '--output', 'json');
  };

  it('is refused where packages are signed by somebody else, by the name of the instruction', async () => {
    const refused = await build(FORGED);
    expect(refused.code).toBe(1);
    const { error } = JSON.parse(refused.stdout) as { error: { code: string; message: string } };
    expect(error.code).toBe('image-build-failed');
    expect(error.message).toContain('RUN dnf -y remove');
    expect(error.message).toMatch(/GPG check FAILED/i);
  });

  describe('built', () => {
    let built: BuiltImage;
    let tree: Tree;
    let text: (path: string) => Promise<string | undefined>;
    let installed: ReadonlyMap<string, { readonly version: string; readonly signature: string }>;

    beforeAll(async () => {
      const answer = await build(KUBERNETES);
      expect(answer.code, answer.stdout + answer.stderr).toBe(0);
      built = JSON.parse(answer.stdout) as BuiltImage;
      const layout = await openLayout(join(RPM_TEST_CACHE, 'images'), { tar: tarStreamTar, locks: fileLocks(systemClock) });
      tree = await imageTree(layout, await readImageAt(layout, await requireManifest(layout, built.digest), built.architecture));
      text = async (path) => (await readImageFile(layout, tree, path))?.toString('utf8');
      const database = join(folder, 'database');
      await mkdir(database);
      for (const path of tree.nodes.keys()) {
        if (!path.startsWith(DATABASE)) continue;
        const content = await readImageFile(layout, tree, path);
        if (content !== undefined) await writeFile(join(database, path.slice(DATABASE.length)), content);
      }
      const format = '%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{RSAHEADER:pgpsig}\\n';
      const { stdout } = await run('rpm', ['--dbpath', database, '--query', '--all', '--queryformat', format]);
      installed = new Map(
        stdout
          .trim()
          .split('\n')
          .map((line) => line.split('\t'))
          .map(([name = '', version = '', signature = '']) => [name, { version, signature }]),
      );
    });

    it('has a digest, and comes from packages on the base that was named', async () => {
      expect(built).toMatchObject({
        digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
        payload: 'packages',
        base: 'centos-10',
      });
      const lock = JSON.parse(await readFile(join(folder, 'kvci.lock'), 'utf8')) as { images: Record<string, string> };
      expect(lock.images[base]).toMatch(/^sha256:/);
    });

    it("has Kubernetes, CRI-O and a node's packages in rpm's database, each signed by its own repository", () => {
      const signedBy = (name: string): string => /Key ID ([0-9a-f]+)$/i.exec(installed.get(name)?.signature ?? '')?.[1] ?? '';
      const keyId = ({ fingerprint }: SigningKey): string => fingerprint.slice(-16).toLowerCase();
      for (const name of ['kubelet', 'kubeadm', 'kubectl']) {
        expect([installed.get(name)?.version, signedBy(name)]).toEqual([`${KUBERNETES}-150500.1.1`, keyId(keys.kubernetes)]);
      }
      expect([installed.get('cri-o')?.version, signedBy('cri-o')]).toEqual(['1.34.2-150500.1.1', keyId(keys.crio)]);
      for (const name of ['conntrack-tools', 'iscsi-initiator-utils', 'openssh-server', 'skopeo'])
        expect(signedBy(name)).toBe(keyId(keys.distribution));
    });

    it("has the modules of exactly its kernel's version", () => {
      expect(installed.get('kernel-modules-extra')?.version).toBe(`${KERNEL.version}-${KERNEL.release}`);
    });

    it('has nothing that breaks a node', () => {
      for (const name of ['firewalld', 'zram-generator', 'zram-generator-defaults']) expect(installed.has(name)).toBe(false);
      expect([...tree.nodes.keys()].filter((path) => path.endsWith('firewalld'))).toEqual([]);
    });

    it('keeps no trace of how it was installed', () => {
      const left = [...tree.nodes.keys()].filter((path) =>
        /^etc\/yum\.repos\.d\/kvci-|^etc\/cni\/net\.d\/.|^var\/(cache|lib\/dnf|log)\/./.test(path),
      );
      expect(left).toEqual([]);
    });

    it("lists every package of rpm's database in its bill of materials, the base's too", async () => {
      const { sbom, provenance } = JSON.parse((await onKvci('image', 'inspect', built.digest, '--output', 'json')).stdout) as {
        sbom: { components: { name: string; version: string; purl: string }[] };
        provenance: { predicate: { buildDefinition: { resolvedDependencies: { uri?: string }[] } } };
      };
      const rpms = sbom.components.filter(({ purl }) => purl.startsWith('pkg:rpm/'));
      const packages = [...installed].filter(([name]) => name !== 'gpg-pubkey');
      expect(rpms.map(({ name, version }) => [name, version.replace(/^\d+:/, '')]).toSorted()).toEqual(
        packages.map(([name, { version }]) => [name, version]).toSorted(),
      );
      expect(rpms.map(({ name }) => name)).toEqual(expect.arrayContaining(['kubelet', 'cri-o', 'conntrack-tools', 'kernel-core']));
      const recorded = provenance.predicate.buildDefinition.resolvedDependencies.map(({ uri }) => uri);
      expect(recorded).toEqual(expect.arrayContaining(rpms.map(({ purl }) => purl)));
      expect(tree.nodes.has('usr/share/kvci/packages.tsv')).toBe(false);
    });

    it('enables the units of a node', async () => {
      const links = [...tree.nodes.keys()]
        .filter((path) => /^etc\/systemd\/system\/.*\.wants\//.test(path))
        .map((path) => path.replace(/.*\//, ''));
      expect(links).toEqual(
        expect.arrayContaining([
          'NetworkManager.service',
          'crio.service',
          'iscsid.socket',
          'kubelet.service',
          'kvci-images.service',
          'sshd.service',
        ]),
      );
      expect(await text('usr/lib/systemd/system-preset/20-kvci.preset')).toContain('enable crio.service');
    });

    it('holds all facts', async () => {
      const report = JSON.parse((await onKvci('image', 'check', built.digest, '--output', 'json')).stdout) as CheckReport;
      expect(report.facts.filter(({ status }) => status === 'failed')).toEqual([]);
    });
  });
});
