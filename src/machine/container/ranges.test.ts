import { describe, expect, it, test } from 'vitest';

import { freeRanges, gatewayOf, overlap } from './ranges.ts';

describe('the ranges of a network', () => {
  test.each([
    [[], { ipv4: '10.89.1.0/24', ipv6: 'fd00:6b76:6369:1::/64' }],
    [['10.89.1.0/24'], { ipv4: '10.89.2.0/24', ipv6: 'fd00:6b76:6369:2::/64' }],
    [['10.89.0.0/22', 'fd00:6b76:6369:4::/64'], { ipv4: '10.89.5.0/24', ipv6: 'fd00:6b76:6369:5::/64' }],
    [['192.168.0.0/16', 'fe80::/64'], { ipv4: '10.89.1.0/24', ipv6: 'fd00:6b76:6369:1::/64' }],
  ])('beside %j', (taken, expected) => {
    expect(freeRanges(['ipv4', 'ipv6'], taken)).toEqual(expected);
  });

  it('are of the families asked for', () => {
    expect(freeRanges(['ipv6'], ['10.89.1.0/24'])).toEqual({ ipv6: 'fd00:6b76:6369:1::/64' });
  });

  it('run out', () => {
    expect(() => freeRanges(['ipv4'], ['10.0.0.0/8'])).toThrow(expect.objectContaining({ code: 'no-free-network' }) as Error);
  });
});

test.each([
  ['10.0.0.0/8', '10.89.1.0/24', true],
  ['10.89.1.0/24', '10.0.0.0/8', true],
  ['10.89.1.0/24', '10.89.2.0/24', false],
  ['fd00::/8', 'fd00:1::/64', true],
  ['fd00:2::/64', 'fd00:1::/64', false],
  ['10.0.0.0/8', 'fd00::/8', false],
])('%s and %s overlap: %s', (one, other, expected) => {
  expect(overlap(one, other)).toBe(expected);
});

test.each([
  ['10.89.1.0/24', '10.89.1.1'],
  ['fd00:6b76:6369:1::/64', 'fd00:6b76:6369:1::1'],
])('the gateway of %s', (range, expected) => {
  expect(gatewayOf(range)).toBe(expected);
});
