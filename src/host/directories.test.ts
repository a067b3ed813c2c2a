import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { chooseDirectories, type DirectoryInputs, makeDirectories } from './directories.ts';

const user = { home: '/home/me' };

test.each<[string, DirectoryInputs, { cache: string; state: string; runtime: string }]>([
  [
    'defaults of the specification',
    user,
    { cache: '/home/me/.cache/kvci', state: '/home/me/.local/state/kvci', runtime: '/home/me/.local/state/kvci/run' },
  ],
  [
    'XDG variables',
    { ...user, xdgCacheHome: '/c', xdgStateHome: '/s', xdgRuntimeDir: '/run/user/1000' },
    { cache: '/c/kvci', state: '/s/kvci', runtime: '/run/user/1000/kvci' },
  ],
  [
    'relative XDG variables do not count',
    { ...user, xdgCacheHome: 'c', xdgStateHome: '', xdgRuntimeDir: './r' },
    { cache: '/home/me/.cache/kvci', state: '/home/me/.local/state/kvci', runtime: '/home/me/.local/state/kvci/run' },
  ],
  [
    "kvci's own win",
    { ...user, xdgCacheHome: '/c', cache: '/own/cache', state: '/own/state', runtime: '/own/run' },
    { cache: '/own/cache', state: '/own/state', runtime: '/own/run' },
  ],
])('%s', (_what, inputs, expected) => {
  expect(chooseDirectories(inputs)).toEqual(expected);
});

test('an own folder must be absolute', () => {
  expect(() => chooseDirectories({ ...user, cache: 'cache' })).toThrow('the cache folder "cache" is not an absolute path');
});

test('folders are made closed to others; what cannot be made is told', async () => {
  const base = await mkdtemp(join(tmpdir(), 'kvci-directories-'));
  const at = (name: string): DirectoryInputs => ({ ...user, home: join(base, name) });
  const made = await makeDirectories(chooseDirectories(at('new')));
  await makeDirectories(made);
  for (const path of [made.cache, made.state, made.runtime]) expect((await stat(path)).mode & 0o777).toBe(0o700);
  await writeFile(join(base, 'file'), '');
  await expect(makeDirectories(chooseDirectories(at('file')))).rejects.toMatchObject({ code: 'directory-unusable', exitCode: 3 });
  await rm(base, { recursive: true });
});
