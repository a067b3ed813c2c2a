import { expect, it } from 'vitest';

import { parseEngineUrl } from './endpoint.ts';
import { sshArgv } from './ssh-argv.ts';

it.each([
  ['ssh://lab', ['ControlPath=none', '-L', '/l:/r', '--', 'lab']],
  ['ssh://core@lab.example:2222/run/podman/podman.sock', ['-p', '2222', '-L', '/l:/r', '--', 'core@lab.example']],
  ['ssh://[fd00::1]/', ['-L', '/l:/r', '--', 'fd00::1']],
])('%s', (url, end) => {
  const address = parseEngineUrl(url, 'test');
  if (address.transport !== 'ssh') throw new Error('it is reached by ssh');
  const argv = sshArgv(address, '/l:/r');
  expect(argv.slice(-end.length)).toEqual(end);
  expect(argv.slice(0, 5)).toEqual(['ssh', '-N', '-T', '-o', 'BatchMode=yes']);
});
