import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';

import { identify, isRunning, parseProcessStat } from './processes.ts';

test.each([
  ['1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 100 200', { state: 'S', startTime: '42' }],
  ['7 (a) b (c)) Z 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 100', { state: 'Z', startTime: '99' }],
])('reads %s', (text, expected) => {
  expect(parseProcessStat(text)).toEqual(expected);
});

test('a process is itself until it ends', async () => {
  const child = spawn('sleep', ['1000']);
  const identity = await identify(child.pid!);
  expect(identity).toEqual({ pid: child.pid, startTime: expect.stringMatching(/^[0-9a-f-]{36}\/\d+$/) as string });
  expect(await isRunning(identity!)).toBe(true);
  expect(await isRunning({ ...identity!, startTime: `${identity!.startTime}0` })).toBe(false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect([await identify(child.pid!), await isRunning(identity!)]).toEqual([undefined, false]);
});

test('a process that ended but is not waited for does not run', async () => {
  const parent = spawn('sh', ['-c', 'true & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  await expect.poll(() => identify(pid)).toBeUndefined();
  parent.kill('SIGKILL');
});
