import { link, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { asDiskFull, digestFile, diskUse, writeFileAtomic } from './files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('a file has the digest of its bytes', async () => {
  const [path, bytes] = [join(folder, 'a'), Buffer.alloc(200_000, 'kvci')];
  await writeFile(path, bytes);
  expect(await digestFile(path)).toEqual({ digest: sha256(bytes), size: 200_000 });
});

test('a file is replaced whole, with its mode', async () => {
  const path = join(folder, 'a');
  await writeFileAtomic(path, 'one');
  await writeFileAtomic(path, 'two', 0o600);
  expect([await readFile(path, 'utf8'), (await stat(path)).mode & 0o777, await readdir(folder)]).toEqual(['two', 0o600, ['a']]);
});

test('a write that fails leaves nothing', async () => {
  await mkdir(join(folder, 'a'));
  await expect(writeFileAtomic(join(folder, 'a'), 'text')).rejects.toThrow(/EISDIR|EEXIST|ENOTEMPTY/);
  expect(await readdir(folder)).toEqual(['a']);
});

test('disk use counts blocks, hard links once and links as themselves', async () => {
  expect(await diskUse(join(folder, 'none'))).toBe(0);
  const empty = await diskUse(folder);
  await mkdir(join(folder, 'sub'));
  await writeFile(join(folder, 'sub', 'a'), Buffer.alloc(1 << 20, 1));
  const one = await diskUse(folder);
  expect(one - empty).toBeGreaterThanOrEqual(1 << 20);
  await link(join(folder, 'sub', 'a'), join(folder, 'b'));
  await symlink('/', join(folder, 'root'));
  expect((await diskUse(folder)) - one).toBeLessThan(1 << 20);
});

test.each([
  ['errno', Object.assign(new Error('x'), { code: 'ENOSPC' })],
  ['quota', Object.assign(new Error('x'), { code: 'EDQUOT' })],
  ['a cause', new Error('x', { cause: Object.assign(new Error('y'), { code: 'ENOSPC' }) })],
  ['words of a program', new KvciError('failed', 'command-failed', 'tar: write error: No space left on device')],
])('a full disk is known by %s', (_what, error) => {
  expect(asDiskFull(error, '/cache')).toMatchObject({
    code: 'disk-full',
    exitCode: 3,
    cause: error,
    message: expect.stringContaining('/cache') as string,
  });
});

test('other errors stay what they are', () => {
  const error = new Error('other');
  expect(asDiskFull(error, '/cache')).toBe(error);
  const full = new KvciError('failed', 'disk-full', 'in the sandbox');
  expect(asDiskFull(full, '/cache')).toBe(full);
});
