import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { digestOf } from '../../core/digest.ts';
import { systemClock } from '../clock.ts';
import { fileLocks } from '../locks.ts';
import type { Artifact } from '../types.ts';
import { createArtifactStore, type PrunableStore } from './artifact-store.ts';
import { cacheUse, pruneCache } from './prune.ts';

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

const titles = (artifacts: readonly Artifact[]): string[] => artifacts.map((artifact) => artifact.record.title);

test('shows what is kept by kind, the largest first, with the last use', async () => {
  await threeArtifacts();
  const { size, kinds } = await cacheUse(storeAt(0));
  expect(kinds.map(({ kind, artifacts }) => [kind, titles(artifacts.map(({ artifact }) => artifact))])).toEqual([
    ['image', ['c', 'a']],
    ['tools', ['b']],
  ]);
  expect(size).toBe(kinds[0]!.size + kinds[1]!.size);
  expect(size).toBeGreaterThanOrEqual(3 * MIB);
  expect(kinds[1]!.artifacts[0]!.lastUsed).toMatch(/^1970-01-01T00:00:0\d/);
});

test('removes the least recently used until the rest fits', async () => {
  await threeArtifacts();
  const store = storeAt(0);
  const { removed, inUse, size } = await pruneCache(store, 1.5 * MIB);
  expect([titles(removed), inUse]).toEqual([['b', 'c'], []]);
  expect(size).toBe((await cacheUse(store)).size);
  expect(titles(await store.list())).toEqual(['a']);
  // By the way that was handed in: trees of mapped ids need another one than rm.
  expect(removedTrees).toContain(`${removed[0]!.path}.partial`);
});

test('removes nothing when all fits, everything at 0', async () => {
  await threeArtifacts();
  const store = storeAt(0);
  expect((await pruneCache(store, 10 * MIB)).removed).toEqual([]);
  expect((await pruneCache(store, 0)).removed).toHaveLength(3);
  expect(await cacheUse(store)).toEqual({ size: 0, kinds: [] });
});

test('keeps what another kvci uses, and goes on with the next', async () => {
  await threeArtifacts();
  const user = storeAt(0);
  await user.find('tools', digestOf('b'));
  const { removed, inUse } = await pruneCache(storeAt(1), 0);
  expect([titles(inUse), titles(removed).toSorted()]).toEqual([['b'], ['a', 'c']]);
});

test('removes what a killed process left, and tells', async () => {
  const leftover = join(cache, 'artifacts', 'image', `${digestOf('x').slice(7)}.partial`);
  await mkdir(leftover, { recursive: true });
  expect((await pruneCache(storeAt(0), 10 * MIB)).leftovers).toEqual([leftover]);
});
