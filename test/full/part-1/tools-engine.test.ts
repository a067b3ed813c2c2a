import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { shortDigest } from '../../../src/core/digest.ts';
import { runStep } from '../../../src/core/plan.ts';
import { undiciDownloads } from '../../../src/host/adapters/undici-downloads.ts';
import { undiciHttp } from '../../../src/host/adapters/undici-http.ts';
import { proxyBuildArgs } from '../../../src/host/engine/proxy.ts';
import { NO_CREDENTIALS } from '../../../src/host/engine/registry-credentials.ts';
import { createArtifactStore } from '../../../src/host/store/artifact-store.ts';
import type { ContainerEngine, Downloads } from '../../../src/host/types.ts';
import { RegistryClient } from '../../../src/oci/registry.ts';
import { openDebianHost } from '../../../src/sandbox/debian-host.ts';
import { fetchPackages, packageSetKey } from '../../../src/sandbox/debian-repository.ts';
import { resolvePackages } from '../../../src/sandbox/debian-resolve.ts';
import { buildRoot } from '../../../src/sandbox/debian-root.ts';
import type { DebianArchives, DebianPackageSet } from '../../../src/sandbox/debian-types.ts';
import { TOOLS_BASE, toolsContainerfile } from '../../../src/sandbox/tools-containerfile.ts';
import { toolsFromEngine } from '../../../src/sandbox/tools-from-engine.ts';
import { toolsStep } from '../../../src/sandbox/tools-image.ts';
import { packagesOf, TOOLS_SUITE } from '../../../src/sandbox/tools-packages.ts';
import { installedPackages } from '../../../src/sandbox/tools-tree.ts';
import { type DockerDaemon, dockerProblem, startDockerDaemon } from '../../fixtures/docker-daemon.ts';
import { layoutTools } from '../../fixtures/layouts.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { testSandboxes } from '../../fixtures/sandboxes.ts';
import { testKvci, toolsTree } from '../../fixtures/tools-tree.ts';

/*
 * The tools image as a host without Debian's tools gets it: built by the container engine that runs there. No image registry
 * answers here, so the engine is given the base that it would pull: a small root of our own of the same release.
 */
describe.skipIf(isMissing('docker', dockerProblem()))('the tools image from an engine', () => {
  let folder: string;
  let kvci: Awaited<ReturnType<typeof testKvci>>;
  let daemon: DockerDaemon;
  let engine: ContainerEngine;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-tools-'));
    kvci = await testKvci();
    daemon = await startDockerDaemon();
    engine = await daemon.connect(NO_CREDENTIALS);
    await importBase();
  });

  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** A root with apt and the archive's keys, under the name of the published one, with the sources that mmdebstrap knows. */
  async function importBase(): Promise<void> {
    const { architecture, run } = kvci;
    const sandboxes = testSandboxes(await toolsTree(), folder);
    await using host = await openDebianHost({ ...kvci, sandboxes }, run.signal);
    const wanted = ['apt', 'debian-archive-keyring'];
    const { set, archives } = await resolvePackages({ suite: TOOLS_SUITE, architecture, wanted }, host);
    const repository = await fetchPackages(set, {
      ...kvci,
      commands: host.commands,
      archives: () => Promise.resolve(archives),
      signal: run.signal,
    });
    const path = join(host.temporary, 'base.tar');
    await buildRoot(
      {
        set,
        repository: repository.path,
        output: { format: 'tar', path },
        sourceDateEpoch: 1_754_697_600,
        dpkgOptions: [],
        sources: sourcesOf(archives),
        skip: ['output/dev'],
      },
      host,
    );
    await engine.importRoot(createReadStream(path), TOOLS_BASE, run.signal);
  }

  function digestsOf(set: DebianPackageSet | undefined): string[] | undefined {
    return set?.packages.map(({ name, version, sha256 }) => `${name} ${version} ${sha256}`);
  }

  function sourcesOf(archives: DebianArchives): string[] {
    return [...archives].flatMap(([name, urls]) => {
      const suites = name === 'debian' ? [TOOLS_SUITE, `${TOOLS_SUITE}-updates`] : [`${TOOLS_SUITE}-security`];
      return urls.flatMap((url) => suites.map((suite) => `deb ${url} ${suite} main`));
    });
  }

  /** Makes the tools image in a cache of its own; packages that the tests' cache has are not downloaded again. */
  const make = (name: string, change: { readonly locked?: DebianPackageSet; readonly downloads?: Downloads } = {}) => {
    const store = createArtifactStore({ directories: { cache: join(folder, name) }, locks: kvci.locks, clock: kvci.run.clock });
    const offline = new RegistryClient({ http: undiciHttp({ offline: true }), credentials: () => Promise.resolve(undefined) });
    const maker = toolsFromEngine({
      ...kvci,
      ...change,
      engine,
      layoutTools,
      registry: () => Promise.resolve(offline),
      buildArgs: proxyBuildArgs(process.env),
    });
    return runStep(toolsStep({ ...kvci, ...change, store, maker, note: () => undefined }), kvci.run);
  };

  it('has the packages that apt resolves, and sandboxes run over it', async () => {
    const { architecture, containerfiles, run } = kvci;
    const { tree, set } = await make('new');
    const wanted = packagesOf(toolsContainerfile(containerfiles, { architecture }));
    expect(set).toMatchObject({ suite: TOOLS_SUITE, architecture, wanted });

    // The same packages as mmdebstrap resolves, digest by digest; which of two archives serves one does not matter.
    await using host = await openDebianHost({ ...kvci, sandboxes: testSandboxes(await toolsTree(), folder) }, run.signal);
    const resolved = await resolvePackages({ suite: TOOLS_SUITE, architecture, wanted }, host);
    expect(digestsOf(set)).toEqual(digestsOf(resolved.set));

    const status = await readFile(join(tree, 'var/lib/dpkg/status'), 'utf8');
    expect([...installedPackages(status)].toSorted()).toEqual(set?.packages.map((one) => one.name));
    const versions = new Set(set?.packages.map((one) => `${one.name} ${one.version}`));
    for (const [, name, version] of status.matchAll(/^Package: (.*)\n(?:.+\n)*?Version: (.*)$/gm))
      expect(versions).toContain(`${name ?? ''} ${version ?? ''}`);
    expect((await readdir(tree)).filter((name) => ['packages', '.dockerenv'].includes(name))).toEqual([]);

    await using box = await testSandboxes(tree, folder).start({
      name: 'engine-made',
      binds: [],
      network: 'private',
      cgroups: false,
      signal: run.signal,
    });
    expect((await box.run(['qemu-img', '--version'])).stdout).toMatch(/^qemu-img version 10\./);
    expect((await box.run(['podman', '--version'])).stdout).toMatch(/^podman version 5/);
    for (const name of ['packages', shortDigest(packageSetKey(set!))])
      expect(await engine.hasImage(`localhost/kvci/tools:${name}`)).toBe(false);

    // A lock has it all: nothing is asked of the network.
    const offline = undiciDownloads({ offline: true });
    const again = await make('locked', { downloads: offline, ...(set === undefined ? {} : { locked: set }) });
    expect(again.set).toEqual(set);
  });

  it('refuses a package that is not what the lock says', async () => {
    const { set } = await make('new');
    const packages = set?.packages.map((one) => (one.name === 'mtools' ? { ...one, sha256: `sha256:${'0'.repeat(64)}` as const } : one));
    const locked = { ...set!, packages: packages! };
    await expect(make('tampered', { locked })).rejects.toMatchObject({ code: 'checksum-mismatch' });
  });
});
