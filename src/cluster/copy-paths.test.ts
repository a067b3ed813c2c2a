import { describe, expect, it } from 'vitest';

import { parseCopy, parseCopyPath } from './copy-paths.ts';

describe('parseCopyPath', () => {
  it.each([
    ['-', { kind: 'standard' }],
    ['file', { kind: 'local', path: 'file' }],
    ['./node01:/x', { kind: 'local', path: './node01:/x' }],
    ['/a/b:c', { kind: 'local', path: '/a/b:c' }],
    ['node01:/etc/hosts', { kind: 'node', node: 'node01', path: '/etc/hosts', folder: false }],
    ['node01:/root/', { kind: 'node', node: 'node01', path: '/root', folder: true }],
    ['node01:/', { kind: 'node', node: 'node01', path: '/', folder: true }],
    ['node01:/a/../../b', { kind: 'node', node: 'node01', path: '/b', folder: false }],
  ])('%s', (text, expected) => {
    expect(parseCopyPath(text)).toEqual(expected);
  });

  it.each(['', 'node01:', 'node01:etc/hosts'])('%j is none', (text) => {
    expect(() => parseCopyPath(text)).toThrow(expect.objectContaining({ code: 'bad-path' }));
  });
});

describe('parseCopy', () => {
  it('knows the way', () => {
    expect(parseCopy('-', 'node01:/x')).toMatchObject({ way: 'up', from: undefined, to: { path: '/x' } });
    expect(parseCopy('node01:/x', '-')).toMatchObject({ way: 'down', from: { path: '/x' }, to: undefined });
    expect(parseCopy('a', 'node01:/x')).toMatchObject({ way: 'up', from: 'a' });
  });

  it.each([
    ['a', 'b'],
    ['-', '-'],
    ['node01:/a', 'node02:/b'],
  ])('%s to %s is none', (source, destination) => {
    expect(() => parseCopy(source, destination)).toThrow('one of the two is on a node');
  });
});
