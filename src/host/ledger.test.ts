import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { KvciError } from '../core/errors.ts';
import { fileLedger, reapOrphans } from './ledger.ts';

let state: string;
let children: ChildProcess[];

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'kvci-ledger-'));
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(state, { recursive: true });
});

const files = (): Promise<string[]> => readdir(join(state, 'ledger'));

/** Starts a process that enters these resources and then hangs. */
async function owner(
  entries: readonly (readonly [string, Record<string, string>])[],
  wrapper: readonly string[] = [],
): Promise<ChildProcess> {
  const program = `
    import { fileLedger } from ${JSON.stringify(join(import.meta.dirname, 'ledger.ts'))};
    const ledger = fileLedger({ state: ${JSON.stringify(state)} });
    for (const [kind, resource] of ${JSON.stringify(entries)}) await ledger.enter(kind, resource);
    process.stdout.write('entered');
    setInterval(() => undefined, 1000);`;
  const argv = [...wrapper, process.execPath, '--input-type=module-typescript', '-e', program];
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('an entry is on disk, closed to others, until it is disposed', async () => {
  const ledger = fileLedger({ state });
  expect(await ledger.orphans()).toEqual([]);
  const entered = await ledger.enter('container', { id: 'abc', port: 5 });
  expect(entered.entry).toMatchObject({ kind: 'container', owner: { pid: process.pid }, resource: { id: 'abc', port: 5 } });
  expect(await files()).toEqual([`${entered.entry.id}.json`]);
  expect((await stat(join(state, 'ledger', `${entered.entry.id}.json`))).mode & 0o777).toBe(0o600);
  expect(await ledger.orphans()).toEqual([]);
  await entered[Symbol.asyncDispose]();
  expect(await files()).toEqual([]);
});

test('entries of a killed process are orphans; those of a living one are not', async () => {
  const dead = await owner([['container', { id: 'dead' }]]);
  await owner([['container', { id: 'alive' }]]);
  await kill(dead);
  const ledger = fileLedger({ state });
  const orphans = await ledger.orphans();
  expect(orphans.map((entry) => entry.resource)).toEqual([{ id: 'dead' }]);
  await ledger.forget(orphans[0]!);
  expect([await ledger.orphans(), (await files()).length]).toEqual([[], 1]);
});

test('an owner in another pid namespace is never taken for dead', async () => {
  await owner([['container', { id: 'elsewhere' }]], ['unshare', '-Urpf', '--kill-child', '--mount-proc']);
  expect(await fileLedger({ state }).orphans()).toEqual([]);
  expect(await files()).toHaveLength(1);
});

test('orphans are reaped in the order of the reapers; what fails stays and does not stop the rest', async () => {
  await kill(
    await owner([
      ['network', { id: 'n' }],
      ['container', { id: 'bad' }],
      ['container', { id: 'good' }],
      ['future', { id: 'f' }],
    ]),
  );
  const ledger = fileLedger({ state });
  const reap = (resource: { readonly id?: string | number }): Promise<void> =>
    resource.id === 'bad' ? Promise.reject(new KvciError('failed', 'busy', 'busy')) : Promise.resolve();
  const describe = (resource: { readonly id?: string | number }): string => `the ${String(resource.id)}`;
  const result = await reapOrphans(ledger, [
    { kind: 'container', describe, reap },
    { kind: 'network', describe, reap },
  ]);
  expect(result.removed).toEqual(['the good', 'the n']);
  expect(result.failed.map((error) => error.message).toSorted()).toEqual([
    'cannot remove the bad: busy',
    'no way known to remove a "future"',
  ]);
  expect((await ledger.orphans()).map((entry) => entry.resource['id']).toSorted()).toEqual(['bad', 'f']);
});

test('a file that is no entry is named, and keeps the others from nothing', async () => {
  const ledger = fileLedger({ state });
  const { entry } = await ledger.enter('x', {});
  const path = join(state, 'ledger', `${entry.id}.json`);
  await writeFile(path, '{"id": 1}');
  await kill(await owner([['x', { id: 'good' }]]));
  const { removed, failed } = await reapOrphans(ledger, [{ kind: 'x', describe: () => 'the good', reap: () => Promise.resolve() }]);
  expect(removed).toEqual(['the good']);
  expect(failed).toMatchObject([{ code: 'bad-ledger-entry', message: expect.stringContaining(path) as string }]);
});
