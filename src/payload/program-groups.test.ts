import { describe, expect, it } from 'vitest';

import {
  builtName,
  goBuildArguments,
  kubernetesVersionVariables,
  linkerFlags,
  programGroup,
  renderGoMod,
  requiredModules,
  type Stamp,
} from './program-groups.ts';

const STAMP: Stamp = {
  versions: { kubernetes: '1.36.3', etcd: '3.6.8', coredns: '1.14.3', pause: '3.10.2', containerd: '2.4.2' },
  created: '2026-07-22T18:07:38Z',
  commit: undefined,
  etcdctl: true,
};

describe('go.mod', () => {
  it('puts published staging modules where upstream has folders, and keeps its language version and GODEBUG', () => {
    const upstream = { go: '1.26.0', godebug: [{ key: 'default', value: 'go1.26' }], local: ['k8s.io/client-go', 'k8s.io/api'] };
    expect(renderGoMod('kubernetes', requiredModules('kubernetes', STAMP), upstream)).toBe(`module kvci/payload/kubernetes

go 1.26.0

godebug default=go1.26

require (
	k8s.io/kubernetes v1.36.3
)

replace (
	k8s.io/api => k8s.io/api v0.36.3
	k8s.io/client-go => k8s.io/client-go v0.36.3
)
`);
  });

  it('replaces nothing elsewhere', () => {
    expect(renderGoMod('etcd', requiredModules('etcd', STAMP), { go: '1.25.0', godebug: [], local: ['go.etcd.io/etcd/api/v3'] }))
      .toBe(`module kvci/payload/etcd

go 1.25.0

require (
	go.etcd.io/etcd/etcdctl/v3 v3.6.8
	go.etcd.io/etcd/server/v3 v3.6.8
)
`);
    expect(requiredModules('etcd', { ...STAMP, etcdctl: false })).toEqual([{ path: 'go.etcd.io/etcd/server/v3', version: 'v3.6.8' }]);
    expect(renderGoMod('pause', [], { go: '1.26.0', godebug: [], local: [] })).toBe('module kvci/payload/pause\n\ngo 1.26.0\n');
  });
});

describe('stamps', () => {
  it('are those of hack/lib/version.sh for a source tree without git', () => {
    const variables = kubernetesVersionVariables(STAMP);
    expect(Object.fromEntries(Object.entries(variables).filter(([name]) => name.startsWith('k8s.io/component-base/')))).toEqual({
      'k8s.io/component-base/version.buildDate': '2026-07-22T18:07:38Z',
      'k8s.io/component-base/version.gitCommit': '',
      'k8s.io/component-base/version.gitMajor': '1',
      'k8s.io/component-base/version.gitMinor': '36',
      'k8s.io/component-base/version.gitTreeState': 'archive',
      'k8s.io/component-base/version.gitVersion': 'v1.36.3',
    });
    expect(variables['k8s.io/client-go/pkg/version.gitVersion']).toBe('v1.36.3');
  });

  it('name the commit where it is known, and mark pre-releases as upstream does', () => {
    const stamp = { ...STAMP, commit: 'c1e5f4a', versions: { ...STAMP.versions, kubernetes: '1.37.0-rc.1' } };
    expect(kubernetesVersionVariables(stamp)).toMatchObject({
      'k8s.io/component-base/version.gitCommit': 'c1e5f4a',
      'k8s.io/component-base/version.gitTreeState': 'clean',
      'k8s.io/component-base/version.gitMinor': '37+',
    });
  });

  it('are sorted for the linker', () => {
    expect(linkerFlags({ 'b.X': '2', 'a.X': '1' })).toBe("-s -w -X 'a.X=1' -X 'b.X=2'");
  });
});

describe('go build', () => {
  it('makes all Kubernetes programs in one run', () => {
    const group = programGroup('kubernetes', STAMP);
    expect(group.builds).toHaveLength(1);
    expect(goBuildArguments({ build: group.builds[0]!, variables: {}, output: '/out' })).toEqual([
      'build',
      '-v',
      '-tags',
      'selinux,notest,grpcnotrace',
      '-ldflags',
      '-s -w',
      '-o',
      '/out',
      'k8s.io/kubernetes/cmd/kube-apiserver',
      'k8s.io/kubernetes/cmd/kube-controller-manager',
      'k8s.io/kubernetes/cmd/kube-proxy',
      'k8s.io/kubernetes/cmd/kube-scheduler',
      'k8s.io/kubernetes/cmd/kubeadm',
      'k8s.io/kubernetes/cmd/kubectl',
      'k8s.io/kubernetes/cmd/kubelet',
    ]);
  });

  it('keeps gRPC out of the shim alone', () => {
    const builds = programGroup('containerd', STAMP).builds.map(({ programs, tags }) => [Object.keys(programs), tags.includes('no_grpc')]);
    expect(builds).toEqual([
      [['containerd', 'ctr'], false],
      [['containerd-shim-runc-v2'], true],
    ]);
  });

  it('leaves etcdctl out where it is not served', () => {
    expect(Object.keys(programGroup('etcd', { ...STAMP, etcdctl: false }).builds[0]!.programs)).toEqual(['etcd']);
  });

  it.each([
    ['go.etcd.io/etcd/server/v3', 'server'],
    ['k8s.io/kubernetes/cmd/kubelet', 'kubelet'],
    ['kvci/payload/pause', 'pause'],
  ])('%s becomes a file named %s', (path, name) => {
    expect(builtName(path)).toBe(name);
  });
});
