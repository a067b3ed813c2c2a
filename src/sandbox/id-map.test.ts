import { describe, expect, test } from 'vitest';

import { findSubordinate, firstFreeSubordinate, formatIdMap, identityMap, parseIdMap, subordinateMap } from './id-map.ts';

describe('identityMap', () => {
  test('maps the ids of a Debian system to themselves', () => {
    expect(identityMap(parseIdMap('         0          0 4294967295\n'))).toEqual([{ inside: 0, outside: 0, count: 65536 }]);
  });

  test('counts ranges that adjoin', () => {
    expect(identityMap(parseIdMap('0 1000 1\n1 100000 65535\n'))).toEqual([{ inside: 0, outside: 0, count: 65536 }]);
  });

  test.each([
    ['one id', '0 1000 1\n'],
    ['a gap', '0 1000 1\n2 100000 70000\n'],
    ['none', ''],
  ])('refuses %s', (_name, map) => {
    expect(() => identityMap(parseIdMap(map))).toThrow(expect.objectContaining({ code: 'too-few-ids', reason: 'hostNotReady' }));
  });
});

test.each([
  [65536, 65535],
  [65535, 65535],
  [200000, 65535],
])('of %i subordinate ids a user uses %i: as many ids as root has', (count, used) => {
  expect(formatIdMap(subordinateMap(1001, { start: 100000, count }))).toBe(`0 1001 1\n1 100000 ${used}\n`);
});

describe('findSubordinate', () => {
  const file = 'daemon:1:1\nalice:100000:65536\n1002:300000:65536\nbob:165536:1000\nbob:500000:65536\n\nbroken\ncarol:x:65536\n';
  test.each([
    ['by name', { name: 'alice', uid: 1001 }, { start: 100000, count: 65536 }],
    ['by number', { name: 'dora', uid: 1002 }, { start: 300000, count: 65536 }],
    ['past ranges that are too small', { name: 'bob', uid: 1003 }, { start: 500000, count: 65536 }],
    ['not for others', { name: 'al', uid: 1 }, undefined],
    ['not from broken lines', { name: 'carol', uid: 1004 }, undefined],
  ])('%s', (_name, user, expected) => {
    expect(findSubordinate(file, user)).toEqual(expected);
  });
});

test.each([
  ['', 100_000],
  ['alice:100000:65536\n', 165_536],
  ['bob:500000:10\nalice:100000:65536\nbroken\n\n', 500_010],
])('subordinate ids of %j are free from %i on', (file, expected) => {
  expect(firstFreeSubordinate(file)).toBe(expected);
});
