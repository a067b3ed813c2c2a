import { describe, expect, it } from 'vitest';

import { gatewayAddress, lanAddresses, lanNetwork, macOf, MOST_MACHINES, tapName } from './lan.ts';

const DUAL = ['ipv4', 'ipv6'] as const;

describe('the network of machines', () => {
  it('has fixed ranges and addresses', () => {
    expect(lanNetwork(DUAL)).toEqual({ ipv4: '192.168.66.0/24', ipv6: 'fd00::/64', firstHost: 100 });
    expect(lanNetwork(['ipv6'])).toEqual({ ipv6: 'fd00::/64', firstHost: 100 });
    expect(lanAddresses(DUAL, 1)).toEqual({ ipv4: '192.168.66.101', ipv6: 'fd00::101' });
    expect(lanAddresses(['ipv4'], 11)).toEqual({ ipv4: '192.168.66.111' });
    expect(gatewayAddress('ipv6')).toBe('fd00::1');
  });

  it('has room for many machines, each with a MAC address and a device of its own', () => {
    for (const families of [DUAL, ['ipv4'], ['ipv6']] as const) {
      const all = Array.from({ length: MOST_MACHINES }, (_, index) => lanAddresses(families, index + 1));
      expect(new Set(all.map(macOf)).size).toBe(MOST_MACHINES);
      expect(new Set(all.map(tapName)).size).toBe(MOST_MACHINES);
      for (const addresses of all) {
        expect(macOf(addresses)).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/);
        expect(tapName(addresses).length).toBeLessThan(16);
      }
    }
    expect(() => lanAddresses(DUAL, MOST_MACHINES + 1)).toThrow(expect.objectContaining({ code: 'too-many-machines' }));
  });

  it('is not alone where it is joined: no device has the name of one in another network', () => {
    const networks = Array.from({ length: 255 }, (_, index) => `fd00:6b76:6369:${(index + 1).toString(16)}`);
    const all = networks.flatMap((network) => [11, 12, 210].map((host) => tapName({ ipv6: `${network}::${host}` })));
    expect(new Set(all).size).toBe(all.length);
    for (const name of all) expect(name.length).toBeLessThan(16);
    expect(tapName({ ipv4: '10.89.1.12' })).not.toBe(tapName({ ipv4: '10.89.2.12' }));
  });

  it('gives no MAC address to a machine without an address', () => {
    expect(() => macOf({})).toThrow(expect.objectContaining({ code: 'no-address' }));
  });
});
