import { describe, expect, it, test } from 'vitest';

import { ipv6Problem, limitsProblem } from './checks.ts';

const ENOUGH = [
  ['fs.inotify.max_user_instances', 8192],
  ['fs.inotify.max_user_watches', 524288],
  ['kernel.keys.maxkeys', 2000],
] as const;

describe('limits', () => {
  it('that are high enough, or that the kernel does not have, are no problem', () => {
    expect(limitsProblem(new Map(ENOUGH), { uid: 1000 })).toBeUndefined();
    expect(limitsProblem(new Map(), { uid: 1000 })).toBeUndefined();
  });

  test.each([
    [
      1000,
      [
        ['sysctl', '-w', 'fs.inotify.max_user_instances=512'],
        ['sysctl', '-w', 'kernel.keys.maxkeys=1000'],
      ],
    ],
    [0, [['sysctl', '-w', 'fs.inotify.max_user_instances=512']]],
  ])('that are low for user %i come with the commands that raise them', (uid, commands) => {
    const settings = new Map<string, number>([...ENOUGH, ['fs.inotify.max_user_instances', 128], ['kernel.keys.maxkeys', 200]]);
    expect(limitsProblem(settings, { uid })).toMatchObject({
      level: 'warning',
      message: expect.stringContaining('max_user_instances is 128, less than 512') as string,
      commands,
    });
  });
});

test.each([
  [0, undefined],
  [1, [['sysctl', '-w', 'net.ipv6.conf.default.disable_ipv6=0']]],
])('disable_ipv6 is %i', (disabled, commands) => {
  expect(ipv6Problem(disabled)?.commands).toEqual(commands);
});

it('a kernel without IPv6 cannot be mended', () => {
  expect(ipv6Problem(undefined)).toEqual({ level: 'warning', message: expect.stringContaining('--ip-family ipv4') as string });
});
