import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { hostChecks, platformProblem, spaceProblem } from './checks.ts';
import { systemClock } from './clock.ts';
import { runChecks } from './host-report.ts';
import { fileLocks } from './locks.ts';
import type { HostCheck } from './types.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-checks-'));
});
afterEach(() => rm(folder, { recursive: true }));

function checks(cache: string, manager: 'apt' | undefined = 'apt'): HostCheck[] {
  const directories = { cache, state: join(folder, 'state'), runtime: join(folder, 'run') };
  return hostChecks({ directories, locks: fileLocks(systemClock), packageManager: () => Promise.resolve(manager) });
}

test.each([
  ['linux', 'x64', undefined],
  ['linux', 'arm64', undefined],
  ['darwin', 'arm64', 'error'],
  ['linux', 'ia32', 'error'],
])('%s on %s', (system, cpu, level) => {
  expect(platformProblem(system, cpu)?.level).toBe(level);
});

test.each([
  [100e9, undefined],
  [12e9, undefined],
  [11.9e9, 'warning'],
  [1.9e9, 'error'],
])('%d bytes free', (free, level) => {
  expect(spaceProblem(free, '/cache')?.level).toBe(level);
});

test('looks at a cache folder that is still to be made', async () => {
  const results = await runChecks(checks(join(folder, 'a', 'b')), undefined);
  expect(results.map(({ id }) => id)).toEqual(['platform', 'disk-space', 'locks', 'package-manager']);
  expect(results.filter(({ id, status }) => id !== 'disk-space' && status !== 'ok')).toEqual([]);
  expect(results[1]!.message).toMatch(/^[\d.]+ [kMGT]?B free at /);
});

test('a cache folder that cannot hold locks, and no package manager', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  const results = await runChecks(
    hostChecks({
      directories: { cache: file, state: folder, runtime: folder },
      locks: fileLocks(systemClock),
      packageManager: () => Promise.resolve(undefined),
    }),
    undefined,
  );
  expect(results.map(({ id, status }) => [id, status])).toContainEqual(['locks', 'error']);
  expect(results.map(({ id, status }) => [id, status])).toContainEqual(['package-manager', 'warning']);
});
