import { describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { EMPTY_LOCK, formatLock, type Lock, parseLock } from './lock.ts';

const bash = {
  name: 'bash',
  version: '5.2-1',
  architecture: 'amd64',
  sha256: sha256('bash'),
  size: 10,
  archive: 'debian',
  filename: 'pool/main/b/bash.deb',
};
const lock: Lock = {
  version: 1,
  packages: { 'debian-13/amd64': { suite: 'trixie', architecture: 'amd64', wanted: ['bash'], packages: [bash] } },
  payloads: {
    '1.31/modules/amd64': {
      source: 'modules',
      versions: { kubernetes: '1.31.0', etcd: '3.5.15', coredns: '1.11.1', pause: '3.10' },
      created: '2024-08-13T07:26:31.000Z',
      newerExists: '1.31.14',
      inputs: { b: 1, a: [2] },
    },
  },
  images: { 'quay.io/centos-bootc/centos-bootc:stream9': sha256('image') },
};

describe('kvci.lock', () => {
  it('reads back what it writes', () => {
    expect(parseLock(formatLock(lock), 'kvci.lock')).toEqual(lock);
    expect(parseLock(formatLock(EMPTY_LOCK), 'kvci.lock')).toEqual(EMPTY_LOCK);
  });

  it('has one form, whatever the order of its parts', () => {
    const turned = {
      ...lock,
      payloads: Object.fromEntries(Object.entries(lock.payloads).map(([key, value]) => [key, { ...value, inputs: { a: [2], b: 1 } }])),
    };
    expect(formatLock(turned)).toBe(formatLock(lock));
  });

  it('keeps each package on a line of its own', () => {
    expect(
      formatLock(lock)
        .split('\n')
        .filter((line) => line.includes('"bash"') && line.includes('pool/')),
    ).toHaveLength(1);
  });

  it.each([
    ['not JSON', '{', 'it is not JSON'],
    ['another version', '{"version":2,"packages":{},"payloads":{},"images":{}}', 'version'],
    ['an unknown key', '{"version":1,"packages":{},"payloads":{},"images":{},"more":1}', 'more'],
    ['a bad digest', '{"version":1,"packages":{},"payloads":{},"images":{"a":"sha256:1"}}', 'images.a'],
  ])('refuses %s and says where', (_what, text, where) => {
    expect(() => parseLock(text, 'the.lock')).toThrow(
      expect.objectContaining({ code: 'lock-broken', message: expect.stringMatching(new RegExp(`the\\.lock.*${where}`)) as string }),
    );
  });
});
