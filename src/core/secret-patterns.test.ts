import { expect, it } from 'vitest';

import { maskKnownSecrets } from './secret-patterns.ts';

it.each([
  ['kubeadm join 10.89.1.1:6443 --token abcdef.0123456789abcdef \\', 'kubeadm join 10.89.1.1:6443 --token *** \\'],
  [`--control-plane --certificate-key ${'0a'.repeat(32)}`, '--control-plane --certificate-key ***'],
  [`certificateKey: ${'0a'.repeat(32)}`, 'certificateKey: ***'],
  [
    '-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----',
    '-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----',
  ],
  ['    client-key-data: LS0tLS1CRUdJTiBSU0E=', '    client-key-data: ***'],
  [`{"token":"${'a'.repeat(20)}"}`, '{"token":"***"}'],
  [`Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVz.${'s'.repeat(20)}`, 'Bearer ***'],
])('%j', (text, masked) => {
  expect(maskKnownSecrets(text)).toBe(masked);
});

it.each([
  `--discovery-token-ca-cert-hash sha256:${'0a'.repeat(32)}`,
  '-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----',
  'registry.k8s.io/kube-apiserver:v1.36.3',
  'certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t',
])('%j stays', (text) => {
  expect(maskKnownSecrets(text)).toBe(text);
});
