import { expect, it } from 'vitest';

import { engineAddressSchema } from './address-schema.ts';
import { otherHost, parseEngineUrl, showAddress } from './endpoint.ts';

it.each(['ssh://', 'ssh://-oProxyCommand=x', 'ssh://-l@lab', 'ssh://lab:port', 'ssh://u:word@lab', 'ssh://lab/a b', 'ssh://lab/s?x=1'])(
  '%s is refused',
  (url) => {
    expect(() => parseEngineUrl(url, '--engine')).toThrow(/^--engine: .* is not the address of a container engine/);
  },
);

it.each([
  ['/run/docker.sock', undefined],
  ['ssh://core@lab:2222', 'core@lab'],
  ['ssh://localhost', 'localhost'],
  ['tcp://lab:2375', 'lab'],
  ['tcp://192.0.2.7:2375', '192.0.2.7'],
  ['tcp://[fd00::7]:2375', 'fd00::7'],
  ['tcp://localhost:2375', undefined],
  ['tcp://127.0.0.2:2375', undefined],
  ['tcp://[::1]:2375', undefined],
])('%s leads to the host %s', (url, host) => {
  expect(otherHost(parseEngineUrl(url, 'test'))).toBe(host);
});

it('an address is the same after it was written down, and those of earlier kvcis are sockets', () => {
  const tls = { ca: '/c/ca.pem', keyPair: { cert: '/c/cert.pem', key: '/c/key.pem' } };
  for (const address of [
    parseEngineUrl('/run/docker.sock', 'test'),
    parseEngineUrl('ssh://core@lab', 'test'),
    parseEngineUrl('ssh://lab:2222/run/podman/podman.sock', 'test'),
    parseEngineUrl('tcp://lab:2376', 'test', tls),
    parseEngineUrl('tcp://lab:2376', 'test', { ca: '/c/ca.pem' }),
  ]) {
    const read = engineAddressSchema.parse(JSON.parse(JSON.stringify(address)));
    expect(read).toEqual(address);
    expect(showAddress(read)).toBe(showAddress(address));
  }
  expect(engineAddressSchema.parse('/run/docker.sock')).toEqual({ transport: 'unix', path: '/run/docker.sock' });
});
