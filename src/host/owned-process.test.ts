import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { until } from '../../test/fixtures/traces.ts';
import { systemClock } from './clock.ts';
import { endOwned, startOwned } from './owned-process.ts';
import { identify, isRunning } from './processes.ts';

it('begins when it is written down, prints into its log, and ends when it is told to', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-owned-'));
  const log = join(folder.path, 'log');
  const kept: unknown[] = [];
  const owned = await startOwned(['sh', '-c', 'echo begun; exec sleep 1000'], log, async (process) => {
    kept.push(process);
    await expect(readFile(log)).rejects.toMatchObject({ code: 'ENOENT' });
  });
  expect(kept).toEqual([owned]);
  await until(async () => (await readFile(log, 'utf8').catch(() => '')) === 'begun\n');
  expect(await isRunning(owned)).toBe(true);
  await endOwned(owned, systemClock);
  expect(await isRunning(owned)).toBe(false);
  await endOwned(owned, systemClock);
});

it('never begins where it could not be written down', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'kvci-owned-'));
  const log = join(folder.path, 'log');
  let pid = 0;
  const refused = startOwned(['true'], log, (process) => {
    ({ pid } = process);
    return Promise.reject(new Error('disk full'));
  });
  await expect(refused).rejects.toThrow('disk full');
  await until(async () => (await identify(pid)) === undefined);
  await expect(readFile(log)).rejects.toMatchObject({ code: 'ENOENT' });
});

it('of which only the pid is the same is left alone', async () => {
  const other = spawn('sleep', ['1000']);
  const gone = once(other, 'exit');
  await endOwned({ pid: other.pid!, startTime: 'before' }, systemClock);
  expect(other.exitCode).toBeNull();
  other.kill();
  await gone;
});
