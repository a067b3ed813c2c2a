import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { tarStreamTar } from './adapters/tar-stream-tar.ts';
import { entriesOf, placeOf, unpackInto } from './folder-tar.ts';
import type { TarEntryWithContent } from './tar.ts';

let folder: string;
let target: string;
let outside: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-folder-tar-'));
  target = join(folder, 'in', 'target');
  outside = join(folder, 'outside');
  await mkdir(join(folder, 'in'));
  await mkdir(outside);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function entry(path: string, change: Partial<TarEntryWithContent> & { readonly text?: string } = {}): TarEntryWithContent {
  const bytes = Buffer.from(change.text ?? '');
  return {
    path,
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 1_000_000_000,
    size: bytes.length,
    xattrs: {},
    content: () => Readable.from([bytes]),
    ...change,
  };
}

const dir = (path: string, mode = 0o755): TarEntryWithContent => entry(path, { type: 'directory', mode });

async function unpack(...entries: readonly TarEntryWithContent[]): Promise<readonly string[]> {
  const skipped: string[] = [];
  await unpackInto(tarStreamTar.read(tarStreamTar.write(entries), { complete: true }), target, (path) => skipped.push(path));
  return skipped;
}

const modeOf = async (path: string): Promise<string> => ((await lstat(path)).mode & 0o7777).toString(8);

describe('a folder there and back', () => {
  it('keeps modes, links, times and strange names', async () => {
    const source = join(folder, 'source');
    await mkdir(join(source, 'sub'), { recursive: true });
    await writeFile(join(source, 'sub', 'script'), 'echo', { mode: 0o755 });
    await writeFile(join(source, 'seçret\nname'), 'x');
    await chmod(join(source, 'seçret\nname'), 0o4600);
    await link(join(source, 'sub', 'script'), join(source, 'again'));
    await symlink('sub/script', join(source, 'link'));
    await symlink('/nowhere', join(source, 'dangling'));
    await chmod(join(source, 'sub'), 0o500);

    const skipped: string[] = [];
    const tar = tarStreamTar.write(entriesOf(source, 'other', (path) => skipped.push(path)));
    await unpackInto(tarStreamTar.read(tar, { complete: true }), target, (path) => skipped.push(path));

    expect(skipped).toEqual([]);
    expect((await readdir(target)).toSorted()).toEqual(['again', 'dangling', 'link', 'seçret\nname', 'sub']);
    expect(await modeOf(join(target, 'sub'))).toBe('500');
    expect(await modeOf(join(target, 'sub', 'script'))).toBe('755');
    // Without setuid.
    expect(await modeOf(join(target, 'seçret\nname'))).toBe('600');
    expect(await readFile(join(target, 'again'), 'utf8')).toBe('echo');
    expect(await readlink(join(target, 'link'))).toBe('sub/script');
    expect(await readlink(join(target, 'dangling'))).toBe('/nowhere');
    expect(Math.floor((await lstat(join(target, 'sub'))).mtimeMs / 1000)).toBe(
      Math.floor((await lstat(join(source, 'sub'))).mtimeMs / 1000),
    );
    await chmod(join(source, 'sub'), 0o700);
    await chmod(join(target, 'sub'), 0o700);
  });

  it('a single file, over one that is there', async () => {
    await writeFile(target, 'before');
    await unpack(entry('hosts', { text: 'after', mode: 0o600 }));
    expect(await readFile(target, 'utf8')).toBe('after');
    expect(await modeOf(target)).toBe('600');
    expect(await readdir(join(folder, 'in'))).toEqual(['target']);
  });

  it('hard links of the tar, and what is neither file nor folder', async () => {
    const skipped = await unpack(
      dir('x'),
      entry('x/a', { text: 'same' }),
      entry('x/b', { type: 'hardlink', linkname: 'x/a' }),
      entry('x/pipe', { type: 'fifo' }),
    );
    expect(skipped).toEqual(['x/pipe']);
    expect((await lstat(join(target, 'b'))).ino).toBe((await lstat(join(target, 'a'))).ino);
  });
});

describe('nothing is written outside of the target', () => {
  it.each(['..', '../x', 'x/../../y', '/etc/passwd', 'x//y', './x', 'x/.', ''])('by the name %j', (name) => {
    expect(() => placeOf(name, '/target')).toThrow('leads elsewhere');
  });

  it.each([
    ['x', '/target'],
    ['x/y/z', '/target/y/z'],
    ['x/..y', '/target/..y'],
  ])('%s lies at %s', (name, place) => {
    expect(placeOf(name, '/target')).toBe(place);
  });

  it('through a link of the tar', async () => {
    const tar = [dir('x'), entry('x/out', { type: 'symlink', linkname: outside }), entry('x/out/evil', { text: 'evil' })];
    await expect(unpack(...tar)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readdir(outside)).toEqual([]);
  });

  it('through a link that was there', async () => {
    await mkdir(target);
    await symlink(outside, join(target, 'out'));
    await expect(unpack(dir('x'), entry('x/out/evil', { text: 'evil' }))).rejects.toMatchObject({ code: 'not-a-folder' });
    await expect(unpack(dir('x'), dir('x/out', 0o777))).rejects.toMatchObject({ code: 'not-a-folder' });
    await expect(unpack(dir('x'), entry('x/b', { type: 'hardlink', linkname: 'x/out/secret' }))).rejects.toMatchObject({
      code: 'not-a-folder',
    });
    expect(await readdir(outside)).toEqual([]);
  });

  it('by a file over a link: the link is replaced', async () => {
    await writeFile(join(outside, 'mine'), 'mine');
    await symlink(join(outside, 'mine'), target);
    await unpack(entry('x', { text: 'new' }));
    expect(await readFile(join(outside, 'mine'), 'utf8')).toBe('mine');
    expect((await lstat(target)).isFile()).toBe(true);
  });
});
