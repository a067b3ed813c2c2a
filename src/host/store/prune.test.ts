import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { digestOf } from '../../core/digest.ts';
import { systemClock } from '../clock.ts';
import { fileLocks } from '../locks.ts';
import { createArtifactStore, type PrunableStore } from './artifact-store.ts';
import { type CacheItem, pruneItems, storedItems, totalSize } from './prune.ts';

const MIB = 2 ** 20;
let cache: string;
let removedTrees: string[];

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'kvci-prune-'));
  removedTrees = [];
});

afterEach(() => rm(cache, { recursive: true }));

/** A store as another process would have it, at a time of its own. */
function storeAt(now: number): PrunableStore {
  const removeTree = async (path: string): Promise<void> => {
    removedTrees.push(path);
    await rm(path, { recursive: true, force: true });
  };
  return createArtifactStore({
    directories: { cache },
    locks: fileLocks(systemClock),
    clock: { ...systemClock, now: () => now },
    removeTree,
  });
}

/** Three artifacts of 1 MiB each, made by a process that has ended; then `a` is used again. */
async function threeArtifacts(): Promise<void> {
  const from = (file: string): string => JSON.stringify(join(import.meta.dirname, file));
  const program = `
    import { createArtifactStore } from ${from('artifact-store.ts')};
    import { systemClock } from ${from('../clock.ts')};
    import { fileLocks } from ${from('../locks.ts')};
    import { digestOf } from ${from('../../core/digest.ts')};
    import { writeFile } from 'node:fs/promises';
    let now = 0;
    const clock = { ...systemClock, now: () => now += 1000 };
    const store = createArtifactStore({ directories: { cache: ${JSON.stringify(cache)} }, locks: fileLocks(clock), clock });
    for (const [kind, title] of [['image', 'a'], ['tools', 'b'], ['image', 'c']])
      await store.make({ kind, key: digestOf(title), inputs: title, title, build: (folder) => writeFile(folder + '/data', Buffer.alloc(${MIB}, 1)) });
    await store.find('image', digestOf('a'));`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: 'inherit' });
  expect(await once(child, 'exit')).toEqual([0, null]);
}

const titles = (items: readonly CacheItem[]): string[] => items.map(({ title }) => title);

test('shows what is kept, with its size and last use', async () => {
  await threeArtifacts();
  const items = await storedItems(storeAt(0));
  expect(items.map(({ kind, title }) => [kind, title]).toSorted()).toEqual([
    ['image', 'a'],
    ['image', 'c'],
    ['tools', 'b'],
  ]);
  expect(totalSize(items)).toBeGreaterThanOrEqual(3 * MIB);
  for (const { lastUsed } of items) expect([lastUsed > 0, lastUsed < 60_000]).toEqual([true, true]);
});

test('removes the least recently used until the rest fits', async () => {
  await threeArtifacts();
  const store = storeAt(0);
  const { removed, inUse, size } = await pruneItems(await storedItems(store), 1.5 * MIB);
  expect([titles(removed), inUse]).toEqual([['b', 'c'], []]);
  const left = await storedItems(store);
  expect([titles(left), totalSize(left)]).toEqual([['a'], size]);
  // By the way that was handed in: trees of mapped ids need another one than rm.
  expect(removedTrees.filter((path) => path.includes('/tools/'))).not.toEqual([]);
});

test('removes nothing when all fits, everything at 0', async () => {
  await threeArtifacts();
  const store = storeAt(0);
  expect((await pruneItems(await storedItems(store), 10 * MIB)).removed).toEqual([]);
  expect((await pruneItems(await storedItems(store), 0)).removed).toHaveLength(3);
  expect(await storedItems(store)).toEqual([]);
});

test('keeps what another kvci uses, and goes on with the next', async () => {
  await threeArtifacts();
  const user = storeAt(0);
  await user.find('tools', digestOf('b'));
  const { removed, inUse } = await pruneItems(await storedItems(storeAt(1)), 0);
  expect([titles(inUse), titles(removed).toSorted()]).toEqual([['b'], ['a', 'c']]);
});

test('removes what a killed process left, and tells', async () => {
  const leftover = join(cache, 'artifacts', 'image', `${digestOf('x').slice(7)}.partial`);
  await mkdir(leftover, { recursive: true });
  expect(await storeAt(0).removeLeftovers()).toEqual([leftover]);
});
