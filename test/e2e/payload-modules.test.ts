import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { messageOf } from '../../src/core/errors.ts';
import type { Event } from '../../src/core/events.ts';
import type { RunContext } from '../../src/core/plan.ts';
import { parseVersionRequest } from '../../src/core/versions.ts';
import { hostCommands } from '../../src/host/adapters/execa-commands.ts';
import { systemClock } from '../../src/host/clock.ts';
import { fileLocks } from '../../src/host/locks.ts';
import { createArtifactStore } from '../../src/host/store/artifact-store.ts';
import type { CommandRunner } from '../../src/host/types.ts';
import { listManifests } from '../../src/oci/manifests.ts';
import { GoClient } from '../../src/payload/go-client.ts';
import { readProgramSources } from '../../src/payload/go-module-folder.ts';
import { hostGo } from '../../src/payload/go-program.ts';
import { modulesInputs } from '../../src/payload/modules-lock.ts';
import { modulesSource } from '../../src/payload/modules-source.ts';
import type { PayloadSource } from '../../src/payload/types.ts';
import { debianComponents, type UserlandSource } from '../../src/payload/userland.ts';
import { packageSetKey } from '../../src/sandbox/debian-repository.ts';
import { type GoModule, type GoProxy, startGoProxy } from '../fixtures/go-proxy.ts';
import { layoutTools } from '../fixtures/layouts.ts';
import { isMissing } from '../fixtures/needs.ts';

/*
 * Payload source `modules` against a Go module proxy of its own, with the real go client: small modules that are named and laid
 * out as upstream's. Kubernetes 1.36.2 lacks a staging module, etcd 3.6.8 is not served, containerd 2.4.0 without sources.
 */

const KUBERNETES = ['kube-apiserver', 'kube-controller-manager', 'kube-proxy', 'kube-scheduler', 'kubectl', 'kubelet'];

const IMAGES = [
  'registry.k8s.io/kube-apiserver:v1.36.1',
  'registry.k8s.io/kube-controller-manager:v1.36.1',
  'registry.k8s.io/kube-scheduler:v1.36.1',
  'registry.k8s.io/kube-proxy:v1.36.1',
  'registry.k8s.io/coredns/coredns:v1.14.2',
  'registry.k8s.io/pause:3.10.2',
  'registry.k8s.io/etcd:3.6.8-0',
];

const print = (expression: string, imports = ''): string =>
  `package main\n\nimport (\n\t"os"\n${imports})\n\nfunc main() { os.Stdout.WriteString(${expression} + "\\n") }\n`;

function upstreamModules(go: string): GoModule[] {
  const mod = (path: string, more = ''): string => `module ${path}\n\ngo ${go}\n${more}`;
  const kubernetes = (version: string): GoModule => {
    const staging = ['k8s.io/component-base', 'k8s.io/client-go'];
    const folders = [...staging, 'k8s.io/sample-cli-plugin'].map((path) => `replace ${path} => ./staging/src/${path}\n`).join('');
    return {
      path: 'k8s.io/kubernetes',
      version,
      files: {
        'go.mod': mod('k8s.io/kubernetes', `${staging.map((path) => `require ${path} v0.0.0\n`).join('')}${folders}`),
        'cmd/kubeadm/app/constants/constants.go':
          'package constants\n\nconst (\n\tDefaultEtcdVersion = "3.6.8-0"\n\tCoreDNSVersion = "v1.14.2"\n\tPauseVersion = "3.10.2"\n)\n',
        'cmd/kubeadm/main.go': print(JSON.stringify(IMAGES.join('\n'))),
        ...Object.fromEntries(
          KUBERNETES.map((name) => [
            `cmd/${name}/main.go`,
            print('"Kubernetes " + version.Get()', '\t"k8s.io/component-base/version"\n\t_ "k8s.io/client-go/pkg/version"\n'),
          ]),
        ),
      },
    };
  };
  const version = 'package version\n\nvar gitVersion = "v0.0.0-master"\n\nfunc Get() string { return gitVersion }\n';
  const componentBase = (number: string): GoModule => ({
    path: 'k8s.io/component-base',
    version: number,
    files: { 'go.mod': mod('k8s.io/component-base'), 'version/version.go': version },
  });
  const program = (path: string, number: string, folders: readonly string[], withoutZip?: true): GoModule => ({
    path,
    version: number,
    files: { 'go.mod': mod(path), ...Object.fromEntries(folders.map((folder) => [`${folder}main.go`, print(`"${path} ${number}"`)])) },
    ...(withoutZip === undefined ? {} : { withoutZip }),
  });
  const containerd = ['cmd/containerd/', 'cmd/ctr/', 'cmd/containerd-shim-runc-v2/'];
  return [
    kubernetes('v1.36.1'),
    kubernetes('v1.36.2'),
    componentBase('v0.36.1'),
    componentBase('v0.36.2'),
    componentBase('v0.36.4'),
    {
      path: 'k8s.io/client-go',
      version: 'v0.36.1',
      files: { 'go.mod': mod('k8s.io/client-go'), 'pkg/version/version.go': version },
    },
    program('go.etcd.io/etcd/server/v3', 'v3.6.9', ['']),
    program('go.etcd.io/etcd/server/v3', 'v3.7.0', ['']),
    program('go.etcd.io/etcd/etcdctl/v3', 'v3.6.9', ['']),
    program('github.com/containerd/containerd/v2', 'v2.2.0', containerd),
    program('github.com/containerd/containerd/v2', 'v2.4.0', containerd, true),
    {
      path: 'github.com/coredns/coredns',
      version: 'v1.14.2',
      files: {
        'go.mod': mod('github.com/coredns/coredns'),
        'plugin.cfg': 'errors:errors\nroute53:route53\n',
        'plugin/errors/errors.go': 'package errors\n',
        'coremain/run.go': 'package coremain\n\nimport "os"\n\nfunc Run() { os.Stdout.WriteString("CoreDNS\\n") }\n',
      },
    },
  ];
}

/** Debian packages are not what is tested here. */
const noUserland: UserlandSource = {
  resolve: (architecture) => Promise.resolve({ suite: 'trixie', architecture, wanted: [], packages: [] }),
  open: () => Promise.resolve({ certificates: Buffer.from('certificates\n'), proxy: [], [Symbol.asyncDispose]: () => Promise.resolve() }),
  key: packageSetKey,
  components: debianComponents,
};

let proxy: GoProxy;
let commands: CommandRunner;
let folder: string;
const events: Event[] = [];
const run: RunContext = { events: (event) => events.push(event), clock: systemClock, signal: new AbortController().signal };
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

async function source(cache: string, offline = false): Promise<PayloadSource> {
  const path = join(folder, cache);
  await mkdir(path, { recursive: true });
  const locks = fileLocks(systemClock);
  return modulesSource({
    go: new GoClient(commands, offline),
    commands,
    store: createArtifactStore({ directories: { cache: path }, locks, clock: systemClock }),
    sources: await readProgramSources(fileURLToPath(new URL('../../templates', import.meta.url))),
    layoutTools,
    userland: noUserland,
    hostArchitecture: architecture,
  });
}

const withoutGo = await hostGo((program, args) => hostCommands(() => undefined, systemClock).run([program, ...args])).then(
  () => undefined,
  (error: unknown) => messageOf(error),
);

describe.skipIf(isMissing('go', withoutGo))('payload from Go modules', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-test-'));
    const host = hostCommands(() => undefined, systemClock);
    const version = await new GoClient(host, false).hostVersion();
    proxy = await startGoProxy(upstreamModules(`${version.split('.').slice(0, 2).join('.')}.0`));
    const env = {
      GOPROXY: proxy.url,
      GOSUMDB: 'off',
      GONOPROXY: 'none',
      GOPRIVATE: 'none',
      GOMODCACHE: join(folder, 'modules'),
      NO_PROXY: '127.0.0.1',
    };
    commands = { where: 'host', run: (argv, options = {}) => host.run(argv, { ...options, env: { ...env, ...options.env } }) };
  });

  afterAll(async () => {
    await commands.run(['go', 'clean', '-modcache']);
    await proxy[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  it('takes what is served whole, and says what is not upstream’s choice', async () => {
    const lock = await (await source('a')).resolve(parseVersionRequest('1.36'), architecture, run);
    expect(lock).toMatchObject({
      source: 'modules',
      versions: { kubernetes: '1.36.1', etcd: '3.6.9', coredns: '1.14.2', pause: '3.10.2', containerd: '2.2.0' },
      created: '2026-07-22T18:07:38Z',
      newerExists: '1.36.4',
    });
    expect(modulesInputs(lock).substitutes).toEqual([{ component: 'etcd', wanted: '3.6.8', taken: '3.6.9' }]);
    expect(Object.values(modulesInputs(lock).images).toSorted()).toEqual(IMAGES.toSorted());
    const notes = events.flatMap((event) => (event.type === 'problem' ? [event.message] : []));
    // Who builds the image tells of the newer patch.
    expect(notes).toEqual([expect.stringContaining('etcd 3.6.8')]);
    // A refusal is final: not asked for again.
    expect(proxy.requests.filter((path) => path === '/k8s.io/client-go/@v/v0.36.2.info')).toHaveLength(1);
    expect(proxy.requests.filter((path) => path === '/github.com/containerd/containerd/v2/@v/v2.4.0.zip')).toHaveLength(1);
  });

  it('refuses a version that is not served whole, and lists what is', async () => {
    const modules = await source('a');
    await expect(modules.resolve(parseVersionRequest('1.36.2'), architecture, run)).rejects.toMatchObject({
      code: 'version-not-served',
      message: expect.stringContaining('k8s.io/client-go is not served') as string,
      hint: expect.stringContaining('1.36.2, 1.36.1') as string,
    });
    await expect(modules.resolve(parseVersionRequest('1.35'), architecture, run)).rejects.toMatchObject({ code: 'version-not-served' });
  });

  it('builds programs stamped as upstream’s, and images that kubeadm asks for; the second time nothing', async () => {
    const modules = await source('a');
    const lock = await modules.resolve(parseVersionRequest('stable'), architecture, run);
    expect(await modules.find(lock, architecture)).toBeUndefined();
    const payload = await modules.make(lock, architecture, run);

    const kubelet = payload.files.find(({ path }) => path === '/usr/bin/kubelet');
    expect((await commands.run([kubelet!.source])).stdout).toBe('Kubernetes v1.36.1\n');
    expect(payload.files.map(({ path }) => path)).toContain('/usr/bin/containerd-shim-runc-v2');
    expect(payload.images.map(({ ref }) => ref).toSorted()).toEqual(IMAGES.toSorted());
    const listed = await listManifests({ path: payload.layout! });
    expect(listed.flatMap(({ refs }) => refs).toSorted()).toEqual(IMAGES.toSorted());
    expect(payload.components.map(({ purl }) => purl)).toContain('pkg:golang/k8s.io/component-base@v0.36.1');

    expect(await modules.find(lock, architecture)).toEqual(payload);
    events.length = 0;
    expect(await modules.make(lock, architecture, run)).toEqual(payload);
    expect(new Set(events.flatMap((event) => (event.type === 'step.end' ? [event.status] : [])))).toEqual(new Set(['reused']));
  });

  it('makes the same bytes of the same lock with a fresh cache', async () => {
    const lock = await (await source('a')).resolve(parseVersionRequest('1.36'), architecture, run);
    const [first, second] = [
      await (await source('a')).make(lock, architecture, run),
      await (await source('b')).make(lock, architecture, run),
    ];
    expect(second.images).toEqual(first.images);
    expect(second.files.map(({ digest }) => digest)).toEqual(first.files.map(({ digest }) => digest));
  });

  it('builds for another architecture', async () => {
    const other = architecture === 'amd64' ? 'arm64' : 'amd64';
    const modules = await source('a');
    const payload = await modules.make(await modules.resolve(parseVersionRequest('1.36'), other, run), other, run);
    expect(payload.architecture).toBe(other);
    const { stdout } = await commands.run(['go', 'version', '-m', payload.files[0]!.source]);
    expect(stdout).toContain(`GOARCH=${other}`);
  });

  it('asks no proxy when offline: what was downloaded is enough to build, and not to choose versions', async () => {
    const lock = await (await source('a')).resolve(parseVersionRequest('1.36'), architecture, run);
    const before = proxy.requests.length;
    const offline = await source('c', true);
    expect((await offline.make(lock, architecture, run)).images).toHaveLength(IMAGES.length);
    await expect(offline.resolve(parseVersionRequest('1.36'), architecture, run)).rejects.toMatchObject({ code: 'offline' });
    expect(proxy.requests).toHaveLength(before);
  });
});
