import { describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { centosStream9 } from '../distro/centos-stream-9.ts';
import { debian13 } from '../distro/debian-13.ts';
import { contextFiles, type ContextInputs } from './context.ts';
import { renderNode } from './render.ts';
import type { NodeSources } from './sources.ts';
import type { NodeRequest } from './view.ts';

const SOURCES: NodeSources = {
  containerfiles: new Map([
    ['node', 'FROM {{from}}\n{{> base}}\n'],
    ['base/debian-13', '# debian\n'],
    ['base/debian', '# own\n'],
    ['base/centos-stream-9', '# rpm\n'],
  ]),
  node: new Map([
    ['common/usr/libexec/kvci/run', '#!/bin/sh\n'],
    ['common/etc/version.hbs', '{{kubernetes}}\n'],
    ['network-manager/usr/lib/NetworkManager/system-connections/kvci.nmconnection', '[connection]\n'],
    ['networkd/etc/network', 'DHCP=yes\n'],
    ['debian/layout.sh', '#!/bin/sh\n'],
    ['debian/root/usr/lib/x', 'x\n'],
  ]),
};

const REQUEST: NodeRequest = {
  distribution: debian13,
  from: 'localhost/base',
  ownBase: false,
  architecture: 'amd64',
  source: 'modules',
  versions: { kubernetes: '1.36.3', etcd: '3.6.8', coredns: '1.14.3', pause: '3.10.2', containerd: '2.2.0' },
  repositories: [],
  images: [],
  packages: [],
  kernel: undefined,
  extraFiles: [],
  documents: false,
  labels: {},
  payloadFiles: true,
};

function files(request: NodeRequest, inputs: Partial<ContextInputs> = {}): readonly (readonly [string, string])[] {
  const rendered = renderNode(request, SOURCES);
  const context = {
    request,
    rendered,
    sources: SOURCES,
    payloadFiles: [],
    layout: new Map(),
    extraFiles: [],
    documents: new Map(),
    ...inputs,
  };
  return contextFiles(context).map(({ path, mode }) => [path, mode.toString(8)]);
}

const HOST = { host: '/somewhere', mode: 0o640, digest: sha256('x'), size: 1 };

describe('contextFiles', () => {
  it('lists what a node of Debian gets, sorted, modes by place', () => {
    const kubelet = { path: '/usr/bin/kubelet', source: '/cache/kubelet', mode: 0o755, digest: sha256('k'), size: 1 };
    expect(
      files(REQUEST, {
        payloadFiles: [kubelet],
        layout: new Map([['index.json', HOST]]),
        extraFiles: [HOST],
        documents: new Map([['sbom.cdx.json', '{}']]),
      }),
    ).toEqual([
      ['Containerfile', '644'],
      ['documents/sbom.cdx.json', '644'],
      ['files/0', '640'],
      ['images/index.json', '644'],
      ['node/etc/network', '644'],
      ['node/etc/version', '644'],
      ['node/usr/libexec/kvci/run', '755'],
      ['payload/usr/bin/kubelet', '755'],
    ]);
  });

  it('brings the layout script to a Debian of one’s own', () => {
    const own = { ...debian13, image: 'own/debian:13', template: 'base/debian' };
    expect(files({ ...REQUEST, distribution: own, ownBase: true }).map(([path]) => path)).toEqual(
      expect.arrayContaining(['layout/layout.sh', 'layout/root/usr/lib/x']),
    );
  });

  it('brings signed repositories to an rpm base', () => {
    const repository = {
      name: 'kubernetes',
      baseUrl: 'https://pkgs.k8s.io/core:/stable:/v1.36/rpm/',
      key: 'KEY',
      packages: ['kubelet-1.36.3'],
    };
    const request = { ...REQUEST, distribution: centosStream9, source: 'packages', repositories: [repository] } as const;
    expect(files(request).map(([path]) => path)).toEqual([
      'Containerfile',
      'node/etc/version',
      'node/usr/lib/NetworkManager/system-connections/kvci.nmconnection',
      'node/usr/libexec/kvci/run',
      'repositories/dnf/kvci-kubernetes.repo',
      'repositories/keys/kvci-kubernetes.asc',
    ]);
    const rendered = renderNode(request, SOURCES);
    const inputs = { request, rendered, sources: SOURCES, payloadFiles: [], layout: new Map(), extraFiles: [], documents: new Map() };
    const repo = contextFiles(inputs).find(({ path }) => path.endsWith('.repo'));
    expect(repo?.content).toMatchObject({ text: expect.stringContaining('gpgcheck=1\nrepo_gpgcheck=1\n') as unknown });
  });

  it('refuses a payload outside /usr, which the Containerfile would not copy', () => {
    const stray = { path: '/opt/kubelet', source: '/cache/kubelet', mode: 0o755, digest: sha256('k'), size: 1 };
    expect(() => files(REQUEST, { payloadFiles: [stray] })).toThrow(expect.objectContaining({ code: 'payload-path' }));
  });
});
