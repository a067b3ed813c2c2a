import { expect, test } from 'vitest';

import { nearest, parseName } from './names.ts';

test.each(['a', 'node01', 'my-cluster', '1-31', 'x'.repeat(63)])('%j is a name', (text) => {
  expect(parseName(text)).toBe(text);
});

test.each(['', '-a', 'a-', 'A', 'a.b', 'a_b', 'a/b', 'x'.repeat(64), 'a\n'])('%j is no name', (text) => {
  expect(() => parseName(text, 'cluster name')).toThrow(`"${text}" is not a valid cluster name`);
});

test.each([
  ['bulid', ['build', 'base', 'check'], 'build'],
  ['PAYLOAD', ['payload'], 'payload'],
  ['pakcages', ['packages', 'package'], 'packages'],
  ['tag', ['tags', 'tagged'], 'tags'],
  ['kubernetes', ['k8s', 'base'], undefined],
  ['x', [], undefined],
  ['base', ['case', 'base'], 'base'],
])('%j of %j: %j', (word, candidates, expected) => {
  expect(nearest(word, candidates)).toBe(expected);
});
