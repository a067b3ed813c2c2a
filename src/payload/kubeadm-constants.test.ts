import { describe, expect, it } from 'vitest';

import { imageRefs, readKubeadmConstants, versionOfTag } from './kubeadm-constants.ts';

const SOURCE = `
	// MinExternalEtcdVersion indicates minimum external etcd version which kubeadm supports
	MinExternalEtcdVersion = "3.5.24-0"
	// DefaultEtcdVersion indicates the default etcd version that kubeadm uses
	DefaultEtcdVersion = "3.6.8-0"
	CoreDNSVersion = "v1.14.2"
	PauseVersion = "3.10.2"
	SupportedEtcdVersion = map[uint8]string{
		34: "3.6.5-0",
		36: "3.6.9-0",
	}
`;

describe('kubeadm constants', () => {
  it('takes etcd by minor before the default', () => {
    expect(readKubeadmConstants(SOURCE, '1.36.3')).toEqual({ etcd: '3.6.9-0', coredns: 'v1.14.2', pause: '3.10.2' });
    expect(readKubeadmConstants(SOURCE, '1.37.0-rc.1').etcd).toBe('3.6.8-0');
  });

  it('names a constant that is not there', () => {
    expect(() => readKubeadmConstants(SOURCE.replace('PauseVersion', 'PauseTag'), '1.36.3')).toThrow(/PauseVersion/);
  });

  it.each([
    ['3.6.8-0', '3.6.8'],
    ['v1.14.2', '1.14.2'],
    ['3.10.2', '3.10.2'],
  ])('%s is of version %s', (tag, version) => {
    expect(versionOfTag(tag)).toBe(version);
  });

  it('makes the references that kubeadm prints', () => {
    expect(Object.values(imageRefs('1.36.3', readKubeadmConstants(SOURCE, '1.36.3'))).toSorted()).toEqual([
      'registry.k8s.io/coredns/coredns:v1.14.2',
      'registry.k8s.io/etcd:3.6.9-0',
      'registry.k8s.io/kube-apiserver:v1.36.3',
      'registry.k8s.io/kube-controller-manager:v1.36.3',
      'registry.k8s.io/kube-proxy:v1.36.3',
      'registry.k8s.io/kube-scheduler:v1.36.3',
      'registry.k8s.io/pause:3.10.2',
    ]);
  });
});
