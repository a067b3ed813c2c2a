import { expect, test } from 'vitest';

import { compareNames, nearest, parseName } from './names.ts';

test.each(['a', 'node01', 'my-cluster', '1-31', 'x'.repeat(63)])('%j is a name', (text) => {
  expect(parseName(text)).toBe(text);
});

test.each(['', '-a', 'a-', 'A', 'a.b', 'a_b', 'a/b', 'x'.repeat(64), 'a\n'])('%j is no name', (text) => {
  expect(() => parseName(text, 'cluster name')).toThrow(`"${text}" is not a valid cluster name`);
});

test('names are in the order of their numbers', () => {
  expect(['node100', 'node11', 'node01', 'lab'].toSorted(compareNames)).toEqual(['lab', 'node01', 'node11', 'node100']);
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
