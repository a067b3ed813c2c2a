import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { sha256 } from '../../src/core/digest.ts';
import { debian13 } from '../../src/distro/debian-13.ts';
import { parseOsRelease } from '../../src/distro/os-release.ts';
import { distributionOf, findDistribution } from '../../src/distro/registry.ts';
import type { Distribution } from '../../src/distro/types.ts';
import { renderNode } from '../../src/image/render.ts';
import { readNodeSources } from '../../src/image/sources.ts';
import type { NodeRequest } from '../../src/image/view.ts';

/** `make golden-update` sets it: files are written instead of compared. */
const UPDATE = process.env['KVCI_UPDATE_GOLDEN'] === '1';

const VERSIONS = {
  '1.31': { kubernetes: '1.31.0', etcd: '3.5.15', coredns: '1.11.1', pause: '3.10' },
  '1.34': { kubernetes: '1.34.4', etcd: '3.6.4', coredns: '1.12.1', pause: '3.10.1' },
  '1.36': { kubernetes: '1.36.3', etcd: '3.6.8', coredns: '1.14.3', pause: '3.10.2' },
} as const;

const REF = 'registry.example/own/debian:13';
const ownDebian = distributionOf(parseOsRelease('ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'), REF);
const BASES: Readonly<Record<string, Distribution>> = {
  'debian-13': debian13,
  'centos-stream-9': findDistribution('centos-stream-9')!,
  'centos-stream-10': findDistribution('centos-stream-10')!,
  'fedora-43': findDistribution('fedora-43')!,
  'own-debian': ownDebian,
};

function requestFor(
  base: string,
  distribution: Distribution,
  minor: keyof typeof VERSIONS,
  architecture: NodeRequest['architecture'] = 'amd64',
): NodeRequest {
  const packaged = distribution.family === 'rpm';
  const versions = VERSIONS[minor];
  const control = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy'].map(
    (name) => `registry.k8s.io/${name}:v${versions.kubernetes}`,
  );
  return {
    distribution,
    from: distribution.image === undefined ? `localhost/kvci/base:${base}` : `${distribution.image}@${sha256(base)}`,
    ownBase: distribution.image === REF,
    architecture,
    source: packaged ? 'packages' : 'modules',
    versions: packaged ? versions : { ...versions, containerd: '2.2.0' },
    repositories: packaged
      ? [
          {
            name: 'kubernetes',
            baseUrl: `https://pkgs.k8s.io/core:/stable:/v${minor}/rpm/`,
            key: 'KEY',
            packages: ['kubelet', 'kubeadm', 'kubectl'].map((name) => `${name}-${versions.kubernetes}`),
          },
        ]
      : [],
    images: [`registry.k8s.io/pause:${versions.pause}`, ...control].map((ref) => ({ ref, manifest: sha256(ref) })),
    packages: [],
    kernel: undefined,
    extraFiles: [],
    documents: true,
    labels: { 'containers.bootc': '1', 'org.opencontainers.image.version': versions.kubernetes },
    payloadFiles: !packaged,
  };
}

async function expectGolden(name: string, text: string): Promise<void> {
  const path = join(import.meta.dirname, name);
  if (UPDATE) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  expect(text).toBe(await readFile(path, 'utf8'));
}

const sources = await readNodeSources(join(import.meta.dirname, '../..'));

/** Texts that reach an image as they stand in templates/node: their path and mode say all. */
const verbatim = new Set(sources.node.values());

async function expectRendered(name: string, request: NodeRequest): Promise<void> {
  const { containerfile, files } = renderNode(request, sources);
  await expectGolden(`${name}.Containerfile`, containerfile);
  const tree = files
    .map(({ path, mode, text }) => `==> ${path} ${mode.toString(8).padStart(4, '0')}\n${verbatim.has(text) ? '' : text}`)
    .join('\n');
  await expectGolden(`${name}.files`, tree);
}

describe.each(Object.entries(BASES))('%s', (base, distribution) => {
  it.each(Object.keys(VERSIONS) as (keyof typeof VERSIONS)[])('Kubernetes %s', async (minor) => {
    await expectRendered(`${base}/${minor}`, requestFor(base, distribution, minor));
  });
});

describe('arm64', () => {
  it.each(['debian-13', 'own-debian'])('%s', async (base) => {
    await expectRendered(`${base}/1.36-arm64`, requestFor(base, BASES[base]!, '1.36', 'arm64'));
  });
});

describe('options', () => {
  const request = requestFor('centos-stream-10', BASES['centos-stream-10']!, '1.34');

  it('kernel, packages, files and labels of one’s own', async () => {
    const { containerfile } = renderNode(
      {
        ...request,
        kernel: 'kernel-rt-core',
        packages: ['openvswitch3.5', 'tcpdump'],
        extraFiles: ['/etc/motd', '/usr/share/a file'],
        labels: { ...request.labels, note: "it's $HOME \"quoted\" \\ here" },
      },
      sources,
    );
    await expectGolden('options.Containerfile', containerfile);
  });

  it('refuses a label that would end its instruction', () => {
    expect(() => renderNode({ ...request, labels: { note: 'a\nRUN rm -rf /' } }, sources)).toThrow(expect.objectContaining({ code: 'bad-label' }));
  });

  it('uses nothing that only one builder understands', () => {
    for (const [base, distribution] of Object.entries(BASES)) {
      const { containerfile } = renderNode(requestFor(base, distribution, '1.36'), sources);
      expect(containerfile).not.toMatch(/^(RUN|COPY)\s+--|<</m);
    }
  });
});
