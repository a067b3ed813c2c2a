import { expect, it } from 'vitest';

import { parseEngineUrl } from './endpoint.ts';
import { tunnelArgv } from './tunnel.ts';

it.each([
  ['ssh://lab', ['-L', '/l:/var/run/docker.sock', '--', 'lab']],
  ['ssh://core@lab.example:2222/run/podman/podman.sock', ['-p', '2222', '-L', '/l:/run/podman/podman.sock', '--', 'core@lab.example']],
  ['ssh://[fd00::1]/', ['-L', '/l:/var/run/docker.sock', '--', 'fd00::1']],
])('%s', (url, end) => {
  const address = parseEngineUrl(url, 'test');
  if (address.transport !== 'ssh') throw new Error('it is reached by ssh');
  const argv = tunnelArgv(address, '/l');
  expect(argv.slice(-end.length)).toEqual(end);
  expect(argv.slice(0, 5)).toEqual(['ssh', '-N', '-T', '-o', 'BatchMode=yes']);
});

it.each(['ssh://', 'ssh://-oProxyCommand=x', 'ssh://-l@lab', 'ssh://lab:port', 'ssh://u:word@lab', 'ssh://lab/a b', 'ssh://lab/s?x=1'])(
  '%s is refused',
  (url) => {
    expect(() => parseEngineUrl(url, '--engine')).toThrow(/^--engine: .* is not the address of a container engine/);
  },
);
