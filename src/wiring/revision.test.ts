import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import { ownRevision } from './revision.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-revision-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const commands = hostCommands(() => undefined, systemClock);
const HEX = /^[0-9a-f]{40}$/;

async function git(...args: readonly string[]): Promise<void> {
  const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org', '-c', 'commit.gpgsign=false'];
  await commands.run(['git', '-C', folder, ...identity, ...args]);
}

test('of a checkout: its commit, tags or not, and whether it was changed since', async () => {
  await git('init', '--quiet');
  await writeFile(join(folder, 'file'), 'old');
  await git('add', '.');
  await git('commit', '--quiet', '--message', 'first');
  await git('tag', '--annotate', '--message', 'v1', 'v1');
  const revision = (await ownRevision(folder, commands)) ?? '';
  expect(revision).toMatch(HEX);
  await writeFile(join(folder, 'untracked'), '');
  expect(await ownRevision(folder, commands)).toBe(revision);
  await writeFile(join(folder, 'file'), 'changed');
  expect(await ownRevision(folder, commands)).toBe(`${revision}-dirty`);
});

test('of a package: what was written down when it was packed, whatever repository it is installed in', async () => {
  await git('init', '--quiet');
  const installed = join(folder, 'node_modules/kvci');
  await mkdir(join(installed, 'dist'), { recursive: true });
  expect(await ownRevision(installed, commands)).toBeUndefined();
  await writeFile(join(installed, 'dist/revision'), `${'a'.repeat(40)}\n`);
  expect(await ownRevision(installed, commands)).toBe('a'.repeat(40));
});

test('is not known where git does not answer', async () => {
  await writeFile(join(folder, '.git'), 'gitdir: nowhere\n');
  expect(await ownRevision(folder, commands)).toBeUndefined();
});
