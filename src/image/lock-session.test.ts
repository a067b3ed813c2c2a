import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { sha256 } from '../core/digest.ts';
import { systemClock } from '../host/clock.ts';
import { fileLocks } from '../host/locks.ts';
import { LockSession } from './lock-session.ts';

const locks = fileLocks(systemClock);

async function scratch() {
  const folder = await mkdtempDisposable(join(tmpdir(), 'kvci-lock-'));
  const path = join(folder.path, 'kvci.lock');
  const open = (options: { locked?: boolean; update?: boolean } = {}) =>
    LockSession.open({ path, locked: false, update: false, locks, runtimeFolder: folder.path, ...options });
  return { path, open, [Symbol.asyncDispose]: () => folder.remove() };
}

const a = sha256('a');
const b = sha256('b');

describe('LockSession', () => {
  it('resolves once, writes, and answers from the file afterwards', async () => {
    await using place = await scratch();
    const first = await place.open();
    expect(await first.image('x:1', () => Promise.resolve(a))).toBe(a);
    expect(await first.save()).toBe(true);
    const second = await place.open({ locked: true });
    expect(await second.image('x:1', () => Promise.reject(new Error('must not be asked')))).toBe(a);
    expect(await second.save()).toBe(false);
  });

  it('changes what is held only on update', async () => {
    await using place = await scratch();
    const first = await place.open();
    await first.image('x:1', () => Promise.resolve(a));
    await first.save();
    const second = await place.open();
    expect(await second.image('x:1', () => Promise.resolve(b))).toBe(a);
    const third = await place.open({ update: true });
    expect(await third.image('x:1', () => Promise.resolve(b))).toBe(b);
  });

  it('keeps what another build added meanwhile', async () => {
    await using place = await scratch();
    const [one, two] = [await place.open(), await place.open()];
    await one.image('x:1', () => Promise.resolve(a));
    await two.image('y:1', () => Promise.resolve(b));
    await Promise.all([one.save(), two.save()]);
    expect((await place.open()).current.images).toEqual({ 'x:1': a, 'y:1': b });
  });

  it('resolves a package set anew when other packages are wanted', async () => {
    await using place = await scratch();
    const set = (wanted: string[]) => ({ suite: 'trixie', architecture: 'amd64', wanted, packages: [] });
    const first = await place.open();
    await first.packages('debian-13/amd64', ['a', 'b'], () => Promise.resolve(set(['a', 'b'])));
    await first.save();
    const second = await place.open();
    expect((await second.packages('debian-13/amd64', ['b', 'a'], () => Promise.reject(new Error('no')))).wanted).toEqual(['a', 'b']);
    expect((await second.packages('debian-13/amd64', ['a', 'c'], () => Promise.resolve(set(['a', 'c'])))).wanted).toEqual(['a', 'c']);
  });

  it('refuses with --locked what is not there, by name', async () => {
    await using place = await scratch();
    await expect(place.open({ locked: true })).rejects.toMatchObject({ code: 'lock-missing', exitCode: 2 });
    const first = await place.open();
    await first.image('x:1', () => Promise.resolve(a));
    await first.save();
    const locked = await place.open({ locked: true });
    await expect(locked.image('z:1', () => Promise.resolve(a))).rejects.toMatchObject({
      code: 'lock-incomplete',
      message: expect.stringContaining('z:1') as string,
    });
  });

  it('names a broken file', async () => {
    await using place = await scratch();
    await writeFile(place.path, '{"version":1}');
    await expect(place.open()).rejects.toMatchObject({ code: 'lock-broken', exitCode: 2 });
    expect(await readFile(place.path, 'utf8')).toBe('{"version":1}');
  });
});
