import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { systemClock } from './clock.ts';
import { fileLocks } from './locks.ts';

const locks = fileLocks(systemClock);
let folder: string;
let path: string;
let children: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-locks-'));
  path = join(folder, 'sub', 'a.lock');
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

/** Starts a process that takes the lock, says so and holds it until it is killed. */
async function holder(kind: 'exclusive' | 'shared'): Promise<ChildProcess> {
  const program = `
    import { fileLocks } from ${JSON.stringify(join(import.meta.dirname, 'locks.ts'))};
    import { systemClock } from ${JSON.stringify(join(import.meta.dirname, 'clock.ts'))};
    await fileLocks(systemClock).${kind}(${JSON.stringify(path)});
    process.stdout.write('held');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

test('a lock that a process killed by SIGKILL held is free again at once', async () => {
  const child = await holder('exclusive');
  expect(await locks.tryExclusive(path)).toBeUndefined();

  const order: string[] = [];
  const onWait = (): void => {
    order.push('waits');
    child.kill('SIGKILL');
  };
  await locks.exclusive(path, { onWait });
  order.push('taken');
  expect(order).toEqual(['waits', 'taken']);
});

test('processes that count under the lock lose no increment', async () => {
  const counter = join(folder, 'counter');
  const program = `
    import { fileLocks } from ${JSON.stringify(join(import.meta.dirname, 'locks.ts'))};
    import { systemClock } from ${JSON.stringify(join(import.meta.dirname, 'clock.ts'))};
    import { readFile, writeFile } from 'node:fs/promises';
    const locks = fileLocks({ ...systemClock, wait: () => systemClock.wait(1) });
    for (let i = 0; i < 20; i += 1) {
      await using lock = await locks.exclusive(${JSON.stringify(path)});
      const n = Number(await readFile(${JSON.stringify(counter)}, 'utf8').catch(() => '0'));
      await writeFile(${JSON.stringify(counter)}, String(n + 1));
    }`;
  const codes = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'inherit' });
      children.push(child);
      return ((await once(child, 'exit')) as [number])[0];
    }),
  );
  expect(codes).toEqual([0, 0, 0, 0]);
  expect(await readFile(counter, 'utf8')).toBe('80');
});

test('two holders in one process exclude each other too', async () => {
  const first = await locks.exclusive(path);
  expect(await locks.tryExclusive(path)).toBeUndefined();
  await first[Symbol.asyncDispose]();
  const second = await locks.tryExclusive(path);
  expect(second).toBeDefined();
  await second?.[Symbol.asyncDispose]();
});

test('shared holders go together and keep an exclusive one out', async () => {
  const child = await holder('shared');
  const mine = await locks.shared(path);
  expect(await locks.tryExclusive(path)).toBeUndefined();
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  expect(await locks.tryExclusive(path)).toBeUndefined();
  await mine[Symbol.asyncDispose]();
  expect(await locks.tryExclusive(path)).toBeDefined();
});

test('waiting ends when the signal aborts', async () => {
  const first = await locks.exclusive(path);
  const controller = new AbortController();
  const waiting = locks.exclusive(path, { signal: controller.signal, onWait: () => controller.abort() });
  await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  await first[Symbol.asyncDispose]();
  expect(await locks.tryExclusive(path)).toBeDefined();
});

test('leaves one empty file that others may lock', async () => {
  const lock = await locks.exclusive(path);
  expect(await readdir(join(folder, 'sub'))).toEqual(['a.lock']);
  await lock[Symbol.asyncDispose]();
  const shared = await locks.shared(path);
  await shared[Symbol.asyncDispose]();
  expect(await readdir(join(folder, 'sub'))).toEqual(['a.lock']);
  const { size, mode } = await stat(path);
  expect([size, mode & 0o777]).toEqual([0, 0o666]);
});

test('a path that is a folder is a clear error', async () => {
  await expect(locks.exclusive(folder)).rejects.toMatchObject({ code: 'lock-unusable' });
});
