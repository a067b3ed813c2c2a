import { describe, expect, it } from 'vitest';

import { resolverOf, routeDevice } from './outbound.ts';

describe('what an engine gave a container', () => {
  it.each([
    ['', undefined],
    ['[]\n', undefined],
    ['[{"dst":"default","gateway":"172.17.0.1","dev":"eth0","flags":[]}]', 'eth0'],
  ])('the device of a way outside: %j', (json, device) => {
    expect(routeDevice(json)).toBe(device);
  });

  it.each([
    ['', undefined],
    ['nameserver 127.0.0.11\noptions ndots:0\n', undefined],
    ['# nameserver 9.9.9.9\nsearch example.org\nnameserver ::1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n', '10.0.0.2'],
    ['nameserver fd00::53\n', 'fd00::53'],
  ])('who resolves names: %j', (text, server) => {
    expect(resolverOf(text)).toBe(server);
  });
});
