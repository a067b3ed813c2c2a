import { expect, test } from 'vitest';

import { environmentInside, nsenterArgv } from './enter.ts';

test.each([
  ['host', undefined, ['--cgroup', '--', 'qemu-img', 'a b']],
  ['private', undefined, ['--cgroup', '--net', '--', 'qemu-img', 'a b']],
  ['host', '/a b', ['--cgroup', '--', 'env', '--chdir=/a b', 'qemu-img', 'a b']],
] as const)('a sandbox with the network "%s" is entered, cwd %s', (network, cwd, end) => {
  expect(nsenterArgv({ pid: 42, network }, ['qemu-img', 'a b'], cwd)).toEqual([
    ...['nsenter', '--target', '42', '--user', '--mount', '--pid', '--ipc', '--uts'],
    ...end,
  ]);
});

test('inside only proxies are known of the environment of the host', () => {
  const host = { PATH: '/opt/bin', HOME: '/home/alice', LC_ALL: 'de_DE', https_proxy: 'http://proxy:3128', NO_PROXY: '.local', TOKEN: 'x' };
  expect(environmentInside(host, { TMPDIR: '/scratch', no_proxy: undefined })).toEqual({
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    USER: 'root',
    LANG: 'C.UTF-8',
    LC_ALL: undefined,
    TOKEN: undefined,
    https_proxy: 'http://proxy:3128',
    NO_PROXY: '.local',
    TMPDIR: '/scratch',
    no_proxy: undefined,
  });
});
