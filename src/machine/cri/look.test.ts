import { expect, test } from 'vitest';

import { parseLook } from './look.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as const;
const OTHER = `sha256:${'b'.repeat(64)}`;
const wanted = (...names: readonly string[]) => names.map((name) => ({ name, digest: DIGEST }));

test('containerd tells which images are whole', () => {
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const text = [
    'x86_64',
    'containerd',
    'REF                TYPE DIGEST STATUS SIZE UNPACKED',
    `example.org/whole:1 ${type} ${DIGEST} complete (3/3)   1.0 MiB/1.0 MiB true`,
    `example.org/cut:1   ${type} ${DIGEST} incomplete (2/3) 0.5 MiB/1.0 MiB false`,
    `example.org/older:1 ${type} ${OTHER} complete (3/3)   1.0 MiB/1.0 MiB true`,
    '',
  ].join('\n');
  expect(parseLook(text, wanted('example.org/whole:1', 'example.org/cut:1', 'example.org/older:1', 'example.org/none:1'))).toEqual({
    runtime: 'containerd',
    architecture: 'amd64',
    whole: new Set(['example.org/whole:1']),
  });
});

test('CRI-O tells digests, and nothing for what it has not', () => {
  const text = `aarch64\ncri-o\nexample.org/whole:1 ${DIGEST}\nexample.org/older:1 ${OTHER}\nexample.org/none:1 \n`;
  expect(parseLook(text, wanted('example.org/whole:1', 'example.org/older:1', 'example.org/none:1'))).toEqual({
    runtime: 'cri-o',
    architecture: 'arm64',
    whole: new Set(['example.org/whole:1']),
  });
});

test.each(['x86_64\n', 'x86_64\ndocker\n', ''])('no runtime: %j', (text) => {
  expect(parseLook(text, wanted('example.org/a:1'))).toBeUndefined();
});
