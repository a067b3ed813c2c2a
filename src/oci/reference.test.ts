import { describe, expect, it } from 'vitest';

import { formatReference, parseReference } from './reference.ts';

const HEX = 'a'.repeat(64);

describe('parseReference', () => {
  it.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['debian:13', 'docker.io/library/debian:13'],
    ['org/name', 'docker.io/org/name:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/org/name:1', 'docker.io/org/name:1'],
    ['quay.io/centos-bootc/centos-bootc:stream9', 'quay.io/centos-bootc/centos-bootc:stream9'],
    ['registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.10'],
    ['localhost/node', 'localhost/node:latest'],
    ['localhost:5000/x', 'localhost:5000/x:latest'],
    ['localhost:5000/x:y', 'localhost:5000/x:y'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest'],
    ['[::1]:5000/x', '[::1]:5000/x:latest'],
    ['Host/x', 'Host/x:latest'],
    [`a@sha256:${HEX}`, `docker.io/library/a@sha256:${HEX}`],
    [`q.io/a:t@sha256:${HEX}`, `q.io/a:t@sha256:${HEX}`],
    ['a-b_c__d.e--f', 'docker.io/library/a-b_c__d.e--f:latest'],
    ['x:V1.31.0-rc.1_a', 'docker.io/library/x:V1.31.0-rc.1_a'],
  ])('reads %s as %s', (text, full) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(full);
    expect(parseReference(full)).toEqual(reference);
  });

  it.each([
    ['', 'empty'],
    ['https://quay.io/a', 'URL'],
    ['docker://quay.io/a', 'URL'],
    ['Debian', 'upper-case'],
    ['quay.io/Org/x', 'upper-case'],
    ['a:', '"" is not a tag'],
    ['a:-b', '"-b" is not a tag'],
    [`a:${'t'.repeat(129)}`, 'is not a tag'],
    ['a@sha256:abc', 'not a sha256 digest'],
    ['a@md5:abc', 'not a sha256 digest'],
    ['quay.io//a', 'empty'],
    ['quay.io/a/', 'empty'],
    ['quay.io/', 'empty'],
    ['a b', 'characters'],
    ['a__ _b', 'characters'],
    ['quay.io/a..b', 'characters'],
    ['qu ay.io/a', 'not a registry host'],
    [HEX, 'image id'],
    [`q.io/${'a'.repeat(260)}`, 'longer'],
  ])('refuses %j', (text, problem) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'bad-reference', message: expect.stringContaining(problem) as string }),
    );
  });
});
