import { existsSync } from 'node:fs';
import { mkdir, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { systemClock } from '../host/clock.ts';
import { fileLocks } from '../host/locks.ts';
import { type EndParts, endUnusedNodeEngine } from './node-engine.ts';
import { recordPath, writeRecord } from './node-engine-record.ts';
import type { DetachedSandbox, SandboxRecord } from './types.ts';

const sandbox: SandboxRecord = { name: 'nodes', pid: 1, startTime: '1', namespace: 'pid:[1]', network: 'host' };

describe('an engine whose service does not answer', () => {
  it.each([
    { needed: undefined, ended: false },
    { needed: true, ended: false },
    { needed: false, ended: true },
  ])('where it is known to be needed ($needed) has ended: $ended', async ({ needed, ended }) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-engine-'));
    const directories = { cache: join(folder.path, 'cache'), state: join(folder.path, 'state') };
    for (const path of Object.values(directories)) await mkdir(path);
    await writeRecord(directories, { version: 1, ready: true, sandbox });
    const ends: string[] = [];
    const running = {
      record: sandbox,
      outside: (path: string) => path,
      end: () => {
        ends.push('ended');
        return Promise.resolve();
      },
    } as unknown as DetachedSandbox;
    const parts = {
      directories,
      locks: fileLocks(systemClock),
      clock: systemClock,
      sandboxes: { find: () => Promise.resolve(running) },
      connect: () => Promise.reject(new KvciError('hostNotReady', 'engine-unreachable', 'nobody answers')),
    } as unknown as EndParts;
    expect(await endUnusedNodeEngine(parts, needed === undefined ? undefined : () => Promise.resolve(needed))).toBe(ended);
    expect(ends).toEqual(ended ? ['ended'] : []);
    expect(existsSync(recordPath(directories))).toBe(!ended);
  });
});
