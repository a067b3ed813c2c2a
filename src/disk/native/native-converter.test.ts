import { expect, it } from 'vitest';

import type { DiskRequest } from '../types.ts';
import { nativeConverter } from './native-converter.ts';

it('what a template says decides what a disk is, where the template gets into disks', async () => {
  const identity = (templates: ReadonlyMap<string, string>): Promise<unknown> =>
    nativeConverter({
      sandboxes: { start: () => Promise.reject(new Error('nothing is started')) },
      tools: () => Promise.resolve({ tree: '/tools', key: `sha256:${'0'.repeat(64)}` }),
      templates,
    }).identity({} as DiskRequest, new AbortController().signal);
  const one = await identity(
    new Map([
      ['disk/native/grub.cfg', 'a'],
      ['report/page', 'x'],
    ]),
  );
  expect(
    await identity(
      new Map([
        ['report/page', 'y'],
        ['disk/native/grub.cfg', 'a'],
      ]),
    ),
  ).toEqual(one);
  expect(
    await identity(
      new Map([
        ['disk/native/grub.cfg', 'b'],
        ['report/page', 'x'],
      ]),
    ),
  ).not.toEqual(one);
});
