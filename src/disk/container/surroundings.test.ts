import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

import { parseSurroundings, SURROUNDINGS_SCRIPT } from './surroundings.ts';

const GOOD = [
  'uids 0 4294967295',
  'sys rw,nosuid,nodev,noexec,relatime',
  'overlay',
  'loop',
  'selinux policy',
  'storage ext2/ext3 1000 4096 5a01',
  'output xfs 10 4096 77',
].join('\n');

describe('what the probe says', () => {
  it('a host where converters work', () => {
    expect(parseSurroundings(GOOD)).toEqual({
      rootId: 0,
      ids: 4_294_967_295,
      sysWritable: true,
      overlayStorage: true,
      loopDevices: true,
      selinux: 'policy',
      storage: { type: 'ext2/ext3', free: 4_096_000, id: '5a01' },
      output: { type: 'xfs', free: 40_960, id: '77' },
    });
  });

  it('a container with nothing', () => {
    const text = 'uids 1000 1\nsys ro,nosuid\nselinux no-policy\nstorage zfs 0 1 1\noutput zfs 0 1 1';
    expect(parseSurroundings(text)).toMatchObject({
      rootId: 1000,
      ids: 1,
      sysWritable: false,
      overlayStorage: false,
      loopDevices: false,
      selinux: 'no-policy',
    });
  });

  it('an engine in which /sys is mounted twice: the upper one counts', () => {
    expect(parseSurroundings(GOOD.replace('loop', 'loop\nsys ro'))).toMatchObject({ sysWritable: false });
  });

  it.each([
    ['nothing', ''],
    ['no file systems', 'uids 0 1\nsys rw'],
    ['another program', 'hello\n'],
  ])('refuses %s', (_name, text) => {
    expect(() => parseSurroundings(text)).toThrow(expect.objectContaining({ code: 'converter-probe-failed' }) as Error);
  });
});

it('the probe is a program that says where it is', () => {
  const script = SURROUNDINGS_SCRIPT.replaceAll(/\/var\/lib\/containers\/storage(?=\))|\/output(?=\))/g, '/');
  const found = parseSurroundings(execFileSync('sh', ['-c', script], { encoding: 'utf8' }));
  expect(found.ids).toBeGreaterThan(0);
  expect(found.storage.free).toBeGreaterThan(0);
});
