import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';

import { cgroup2Mount, enterCgroupArgv, joinCgroupArgv, ownCgroup, removeCgroup, sweepCgroups } from './cgroup.ts';

describe('where version 2 is mounted', () => {
  test.each([
    ['30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n', '/sys/fs/cgroup'],
    ['30 23 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n', '/sys/fs/cgroup/unified'],
    ['30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n', undefined],
  ])('%s', (mountinfo, expected) => {
    expect(cgroup2Mount(`22 1 0:21 / /sys rw - sysfs sysfs rw\n${mountinfo}`)).toBe(expected);
  });
});

test.each([
  [
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/a b.scope\n',
    '/user.slice/user-1000.slice/user@1000.service/app.slice/a b.scope',
  ],
  ['9:name=systemd:/x\n0::/\n', '/'],
  ['4:memory:/x\n', undefined],
])('the own group in %j', (text, expected) => {
  expect(ownCgroup(text)).toBe(expected);
});

it('commands are started in a group, and in the one beside the containers', () => {
  expect(joinCgroupArgv('/sys/fs/cgroup/x', ['true']).slice(2)).toEqual([
    'echo $$ >"$1/cgroup.procs" && shift && exec "$@"',
    'sh',
    '/sys/fs/cgroup/x',
    'true',
  ]);
  expect(enterCgroupArgv('/sys/fs/cgroup/x', ['true']).slice(3)).toEqual(['sh', '/sys/fs/cgroup/x/engine', 'true']);
});

it('a group goes with those below it, and when it is gone already', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-cgroup-'));
  try {
    await mkdir(join(folder, 'group/libpod_parent/libpod-1/init.scope'), { recursive: true });
    await removeCgroup(join(folder, 'group'));
    await removeCgroup(join(folder, 'group'));
    await expect(rm(join(folder, 'group'))).rejects.toMatchObject({ code: 'ENOENT' });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it('groups whose record was lost go when they are old and nobody is in them', async () => {
  const base = await mkdtemp(join(tmpdir(), 'kvci-cgroup-'));
  const long = new Date('2026-01-01T00:00:00Z');
  const group = async (name: string, populated: number, made: Date): Promise<string> => {
    await mkdir(join(base, name));
    const events = join(base, name, 'cgroup.events');
    await writeFile(events, `populated ${populated}\nfrozen 0\n`);
    await utimes(join(base, name), made, made);
    return events;
  };
  try {
    await group('kvci-nodes-used', 1, long);
    await group('kvci-nodes-young', 0, new Date(long.getTime() + 3_600_000));
    await group('other-old', 0, long);
    // A real group needs no emptying.
    const events = await group('kvci-nodes-old', 0, long);
    await expect(sweepCgroups(base, 'kvci-nodes-', long.getTime() + 3_600_000)).rejects.toMatchObject({ code: 'ENOTEMPTY' });
    expect(await readFile(events, 'utf8')).toContain('populated 0');
    await rm(join(base, 'kvci-nodes-old'), { recursive: true });
    await sweepCgroups(base, 'kvci-nodes-', long.getTime() + 3_600_000);
    expect((await readdir(base)).toSorted()).toEqual(['kvci-nodes-used', 'kvci-nodes-young', 'other-old']);
  } finally {
    await rm(base, { recursive: true, force: true });
  }
});
