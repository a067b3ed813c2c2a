import { describe, expect, test } from 'vitest';

import { nearest, parseName } from './names.ts';

describe('nearest', () => {
  test.each([
    ['bsae', 'base'],
    ['biuld', 'build'],
    ['enginee', 'engine'],
    ['lables', 'labels'],
    ['Base', 'base'],
    ['zzzz', undefined],
    ['k9s', 'k8s'],
  ])('%s is taken for %s', (word, candidate) => {
    expect(nearest(word, ['base', 'build', 'engine', 'labels', 'k8s'])).toBe(candidate);
  });
});

describe('parseName', () => {
  test.each(['node01', 'a', 'a-b', 'x'.repeat(63)])('%s is a name', (name) => {
    expect(parseName(name)).toBe(name);
  });

  test.each(['', '-a', 'a-', 'A', 'a_b', 'a.b', 'x'.repeat(64)])('"%s" is not', (name) => {
    expect(() => parseName(name, 'cluster name')).toThrow('is not a valid cluster name');
  });
});
