import { expect, test } from 'vitest';

import { inRange, isStable, minorOf, newestFirst, parseVersionRequest } from './versions.ts';

test.each([
  ['1.31', { kind: 'minor', minor: '1.31' }],
  ['v1.36', { kind: 'minor', minor: '1.36' }],
  [' 1.31.4 ', { kind: 'exact', version: '1.31.4' }],
  ['v1.36.0-rc.1', { kind: 'exact', version: '1.36.0-rc.1' }],
  ['2.0', { kind: 'minor', minor: '2.0' }],
  ['stable', { kind: 'stable' }],
])('reads %j', (text, request) => {
  expect(parseVersionRequest(text)).toEqual(request);
});

test.each([
  '',
  '1',
  '1.31.',
  '1.31.x',
  'latest',
  'vstable',
  '01.31',
  '1.031',
  '1.31.04',
  '>=1.31',
  '1.31.4+k3s1',
  '1.99999999999999999999',
])('refuses %j', (text) => {
  expect(() => parseVersionRequest(text)).toThrow(`"${text}" is not a Kubernetes version`);
});

test.each(['1.30', 'v1.30.14', '1.9', '0.31'])('%s is too old', (text) => {
  expect(() => parseVersionRequest(text)).toThrow(`Kubernetes ${text} is older than 1.31`);
});

test('tells the minor and what is stable', () => {
  expect([minorOf('1.31.4'), minorOf('1.36.0-rc.1')]).toEqual(['1.31', '1.36']);
  expect([isStable('1.36.3'), isStable('1.36.0-rc.1')]).toEqual([true, false]);
});

test.each([
  ['1.36.0', '>=1.36', true],
  ['1.36.0-rc.1', '>=1.36', true],
  ['1.35.9', '>=1.36', false],
  ['1.36.0-rc.1', '<1.36', false],
  ['1.32.5', '>=1.31 <1.33', true],
])('%s in %s: %s', (version, range, expected) => {
  expect(inRange(version, range)).toBe(expected);
});

test('sorts by version, not by text', () => {
  expect(newestFirst(['v1.9.0', '1.31.10', '1.31.9', 'nonsense', 'v1.31.10', '1.36.0-rc.1', '1.36.0'])).toEqual([
    '1.36.0',
    '1.36.0-rc.1',
    '1.31.10',
    '1.31.9',
    '1.9.0',
  ]);
});
