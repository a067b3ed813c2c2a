import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { Clock } from '../../core/clock.ts';
import { digestOf, hexOf } from '../../core/digest.ts';
import { systemClock } from '../clock.ts';
import { fileLocks } from '../locks.ts';
import type { MakeRequest } from '../types.ts';
import { createArtifactStore, type PrunableStore } from './artifact-store.ts';

const key = digestOf({ a: 1 });
let cache: string;
let store: PrunableStore;
let children: ChildProcess[];

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'kvci-store-'));
  store = newStore();
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(cache, { recursive: true });
});

function newStore(clock: Clock = systemClock): PrunableStore {
  return createArtifactStore({ directories: { cache }, locks: fileLocks(clock), clock });
}

function request(build: MakeRequest['build'], extra: Partial<MakeRequest> = {}): MakeRequest {
  return { kind: 'thing', key, inputs: { a: 1 }, title: 'a thing', build, ...extra };
}

const inputs = request((folder) => writeFile(join(folder, 'file'), 'content').then(() => ({ fact: 1 })));

/** A program that has a store over the same cache in another process. */
function inAnotherProcess(body: string, command: readonly string[] = [], folder = cache): ChildProcess {
  const from = (file: string): string => JSON.stringify(join(import.meta.dirname, file));
  const program = `
    import { createArtifactStore } from ${from('artifact-store.ts')};
    import { systemClock } from ${from('../clock.ts')};
    import { fileLocks } from ${from('../locks.ts')};
    import { writeFile } from 'node:fs/promises';
    const store = createArtifactStore({ directories: { cache: ${JSON.stringify(folder)} }, locks: fileLocks(systemClock), clock: systemClock });
    const base = { kind: 'thing', key: ${JSON.stringify(key)}, inputs: {}, title: 'a thing' };
    const hang = () => new Promise(() => setInterval(() => undefined, 1000));
    const say = (word) => process.stdout.write(word + '\\n');
    ${body}`;
  const argv = [...command, process.execPath, '--input-type=module-typescript', '-e', program];
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

const folders = (): Promise<string[]> => readdir(join(cache, 'artifacts', 'thing'));

test('what was made is found again with its record', async () => {
  expect(await store.find('thing', key)).toBeUndefined();
  const made = await store.make(inputs);
  expect(made.path).toBe(join(cache, 'artifacts', 'thing', hexOf(key)));
  expect(made.record).toMatchObject({ version: 1, kind: 'thing', key, inputs: { a: 1 }, title: 'a thing', facts: { fact: 1 } });
  expect(made.record.size).toBeGreaterThan(0);
  expect(await newStore().find('thing', key)).toEqual(made);
  expect(await store.list()).toEqual([made]);
  expect(await readFile(join(made.path, 'file'), 'utf8')).toBe('content');
});

test('is not built twice, and looking for what is not there leaves nothing behind', async () => {
  await store.find('thing', key);
  expect(await readdir(cache)).toEqual([]);
  let builds = 0;
  const build = (): Promise<number> => Promise.resolve((builds += 1));
  const [a, b] = await Promise.all([store.make(request(build)), newStore().make(request(build))]);
  expect([builds, a]).toEqual([1, b]);
});

test('a failed build leaves nothing and can be tried again', async () => {
  await expect(store.make(request((folder) => mkdir(join(folder, 'x')).then(() => Promise.reject(new Error('no')))))).rejects.toThrow('no');
  expect(await folders()).toEqual([]);
  expect((await store.make(inputs)).record.facts).toEqual({ fact: 1 });
});

test('a build that is cancelled is not kept even when it ends well', async () => {
  const controller = new AbortController();
  const build = (): Promise<void> => {
    controller.abort();
    return Promise.resolve();
  };
  await expect(store.make(request(build, { signal: controller.signal }))).rejects.toMatchObject({ code: 'cancelled' });
  expect(await folders()).toEqual([]);
});

test('another process that makes the same key is waited for, and its result used', async () => {
  const child = inAnotherProcess(`
    await store.make({ ...base, build: async (folder) => {
      const released = new Promise((resolve) => process.once('SIGUSR2', resolve));
      say('building');
      await Promise.race([hang(), released]);
      return 'theirs';
    } });
    process.exit();`);
  await once(child.stdout!, 'data');
  const made = store.make(request(() => Promise.resolve('ours'), { onWait: () => child.kill('SIGUSR2') }));
  expect((await made).record.facts).toBe('theirs');
});

test('a maker killed by SIGKILL leaves only a folder that the next run replaces', async () => {
  const child = inAnotherProcess(
    `await store.make({ ...base, build: async (folder) => { await writeFile(folder + '/half', ''); say('half'); await hang(); } });`,
  );
  await once(child.stdout!, 'data');
  expect(await store.removeLeftovers()).toEqual([]);
  child.kill('SIGKILL');
  await once(child, 'exit');

  expect(await folders()).toEqual([`${hexOf(key)}.partial`]);
  expect([await store.find('thing', key), await store.list()]).toEqual([undefined, []]);
  const made = await store.make(inputs);
  expect((await readdir(made.path)).toSorted()).toEqual(['file', 'record.json']);
  expect(await folders()).toEqual([hexOf(key)]);
});

test('pruning removes what a killed maker left, but nothing of a living one', async () => {
  const child = inAnotherProcess(`await store.make({ ...base, build: () => { say('half'); return hang(); } });`);
  await once(child.stdout!, 'data');
  expect(await store.removeLeftovers()).toEqual([]);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await store.removeLeftovers()).toEqual([join(cache, 'artifacts', 'thing', `${hexOf(key)}.partial`)]);
  expect(await folders()).toEqual([]);
});

test('an artifact that another process found is not removed until that ends', async () => {
  const made = await store.make(inputs);
  const child = inAnotherProcess(`await store.find('thing', base.key); say('found'); await hang();`);
  await once(child.stdout!, 'data');
  expect(await store.removeUnused(made)).toBe(false);
  await expect(store.remove(made)).rejects.toMatchObject({ code: 'artifact-in-use' });
  expect(await store.find('thing', key)).toEqual(made);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await store.remove(made);
  expect([await store.find('thing', key), await folders()]).toEqual([undefined, []]);
});

test.each([
  ['cut off', (text: string) => text.slice(0, 20)],
  ['of another key', (text: string) => text.replace(key, digestOf(2))],
  ['of another format', (text: string) => text.replace('"version": 1', '"version": 2')],
])('a record that is %s does not count; the artifact is made anew', async (_what, change) => {
  const { path } = await store.make(inputs);
  const record = join(path, 'record.json');
  await writeFile(record, change(await readFile(record, 'utf8')));
  expect(await newStore().find('thing', key)).toBeUndefined();
  expect((await newStore().make(request(() => Promise.resolve('new')))).record.facts).toBe('new');
});

test('finding it is remembered as its last use', async () => {
  const made = await newStore({ ...systemClock, now: () => 1_000_000 }).make(inputs);
  expect([await store.lastUsed(made), made.record.madeAt]).toEqual([1_000_000, '1970-01-01T00:16:40.000Z']);
  await newStore({ ...systemClock, now: () => 2_000_000 }).find('thing', key);
  expect(await store.lastUsed(made)).toBe(2_000_000);
});

test('folders have the same mode under any umask', async () => {
  const child = inAnotherProcess(`process.umask(0o077); say((await store.make({ ...base, build: async () => undefined })).path);`);
  const path = (await text(child.stdout!)).trim();
  expect((await stat(path)).mode & 0o777).toBe(0o755);
});

test('a full disk is an error of its own and leaves nothing', async () => {
  const program = `
    const { readdirSync } = await import('node:fs');
    const error = await store.make({ ...base, build: (folder) => writeFile(folder + '/big', Buffer.alloc(4 << 20)) }).catch((error) => error);
    say(JSON.stringify([error.code, error.exitCode, error.hint !== undefined, readdirSync(process.env.HOME + '/artifacts/thing')]));`;
  const small = join(cache, 'small');
  await mkdir(small);
  const mounted = ['unshare', '-rm', 'sh', '-c', `mount -t tmpfs -o size=1m none '${small}' && HOME='${small}' exec "$@"`, 'sh'];
  const child = inAnotherProcess(program, mounted, small);
  expect(JSON.parse(await text(child.stdout!))).toEqual(['disk-full', 3, true, []]);
});

test('a kind that is no file name is refused', async () => {
  await expect(store.find('../x', key)).rejects.toMatchObject({ code: 'bad-kind' });
});
