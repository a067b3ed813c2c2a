import { expect, it } from 'vitest';

import { goModuleComponents, golangPurl } from './go-version.ts';

it('reads the modules of programs, replaced ones as what they were built from', () => {
  const text = `/bin/kubeadm: go1.26.8
	path	k8s.io/kubernetes/cmd/kubeadm
	mod	kvci/payload/kubernetes	(devel)
	dep	github.com/blang/semver/v4	v4.0.0	h1:1PFHFE6yCCTv8C1TeyNNarDzntLi7wMI5i/pzqYIsAM=
	dep	k8s.io/api	v0.0.0
	=>	k8s.io/api	v0.36.3	h1:abc=
	build	-trimpath=true
/bin/kubectl: go1.26.8
	path	k8s.io/kubernetes/cmd/kubectl
	dep	github.com/blang/semver/v4	v4.0.0	h1:1PFHFE6yCCTv8C1TeyNNarDzntLi7wMI5i/pzqYIsAM=
	dep	github.com/moby/x	v2.0.0+incompatible	h1:x=
`;
  expect(goModuleComponents(text).map(({ purl }) => purl)).toEqual([
    'pkg:golang/github.com/blang/semver/v4@v4.0.0',
    'pkg:golang/github.com/moby/x@v2.0.0%2Bincompatible',
    'pkg:golang/k8s.io/api@v0.36.3',
    'pkg:golang/stdlib@1.26.8',
  ]);
  expect(golangPurl('k8s.io/api', 'v0.36.3')).toBe('pkg:golang/k8s.io/api@v0.36.3');
});
