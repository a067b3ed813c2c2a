import { access, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { CacheEntry, CachePruneReport } from '../../src/cli/services.ts';
import { hexOf, sha256 } from '../../src/core/digest.ts';
import type { Sandbox } from '../../src/sandbox/types.ts';
import { kvci, type Run } from '../cli/run-kvci.ts';
import { testSandboxes } from '../fixtures/sandboxes.ts';

/*
 * A cache as tools images and Podman leave it: with files of subordinate ids in closed folders, which an ordinary user may remove
 * only as root of a namespace that has these ids.
 */

let folder: string;
let cache: string;
let env: Readonly<Record<string, string>>;
let box: Sandbox;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-prune-'));
  cache = join(folder, 'cache');
  env = { KVCI_CACHE_DIR: cache, KVCI_STATE_DIR: join(folder, 'state'), KVCI_RUNTIME_DIR: join(folder, 'run') };
  await mkdir(cache);
  box = await testSandboxes('no tools', folder).startOverHost({ name: 'mapped', signal: new AbortController().signal });
});

afterAll(async () => {
  await box.run(['rm', '-rf', '--', cache]);
  await box[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Puts a closed folder of another id into a folder; a user of the host cannot look into it. */
async function foreignFiles(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  const script = 'mkdir -p "$1/closed/deep" && echo content >"$1/closed/deep/file" && chown -R 33:33 "$1/closed" && chmod 0500 "$1/closed"';
  await box.run(['sh', '-c', script, 'sh', path]);
  const { uid } = userInfo();
  if (uid !== 0) await expect(readdir(join(path, 'closed'))).rejects.toThrow('EACCES');
  expect((await stat(join(path, 'closed'))).uid).not.toBe(uid);
}

async function answer<T>(running: Promise<Run>): Promise<T> {
  const { code, stdout, stderr } = await running;
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

it('cache prune removes artifacts, leftovers and engine storage with files of mapped ids', async () => {
  // Written by hand: what a store of this process has made, this process uses.
  const key = sha256('one');
  const tree = join(cache, 'artifacts/tools', hexOf(key));
  await foreignFiles(tree);
  const record = { version: 1, kind: 'tools', key, inputs: {}, title: 'a tree', madeAt: '2026-01-01T00:00:00Z', size: 4096, facts: {} };
  await writeFile(join(tree, 'record.json'), JSON.stringify(record));
  const partial = join(cache, 'artifacts/debian-base', `${'b'.repeat(64)}.partial`);
  await foreignFiles(partial);
  await foreignFiles(join(cache, 'engine/storage/overlay'));
  await mkdir(join(cache, 'engine/scratch'));

  const list = await answer<{ entries: CacheEntry[] }>(kvci(['cache', 'list', '--output', 'json'], { env }));
  expect(list.entries.map(({ kind }) => kind).toSorted()).toEqual(['engine', 'tools']);
  for (const { size } of list.entries) expect(size).toBeGreaterThan(0);

  const report = await answer<CachePruneReport>(kvci(['cache', 'prune', '--keep', '0', '--output', 'json'], { env }));
  expect(report.removed.map(({ kind }) => kind).toSorted()).toEqual(['engine', 'tools']);
  expect(report).toMatchObject({ inUse: [], leftovers: [partial], size: 0 });
  for (const path of [tree, partial, join(cache, 'engine')]) await expect(access(path)).rejects.toThrow('ENOENT');
});
