import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { chmod, link, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { TarEntry, TarEntryWithContent, TarReadEntry } from './tar.ts';

/** Modes are kept but for setuid, setgid and sticky: a copy is another owner's. */
const PERMISSIONS = 0o777;

/**
 * A file or folder of this host as entries of a tar, the first of them called `name`. A symbolic link that is named itself is
 * followed, those inside are kept. `skipped` hears of what no copy can be made of (sockets, pipes, devices).
 *
 * @throws the file system's own errors
 */
export async function* entriesOf(path: string, name: string, skipped: (path: string) => void): AsyncGenerator<TarEntryWithContent> {
  yield* visit(path, name, await stat(path), skipped);
}

async function* visit(path: string, name: string, stats: Stats, skipped: (path: string) => void): AsyncGenerator<TarEntryWithContent> {
  const base = {
    path: name,
    mode: stats.mode & PERMISSIONS,
    uid: 0,
    gid: 0,
    mtime: Math.floor(stats.mtimeMs / 1000),
    size: 0,
    xattrs: {},
    content: () => createReadStream(path),
  };
  if (stats.isFile()) yield { ...base, type: 'file', size: stats.size };
  else if (stats.isSymbolicLink()) yield { ...base, type: 'symlink', linkname: await readlink(path) };
  else if (stats.isDirectory()) {
    yield { ...base, type: 'directory' };
    for (const child of (await readdir(path)).toSorted()) {
      yield* visit(join(path, child), `${name}/${child}`, await lstat(join(path, child)), skipped);
    }
  } else skipped(path);
}

/**
 * Writes the entries of a tar whose names start with one part, `a` or `a/...`, as `target` and below it. Nothing is ever written
 * outside of `target`, whatever the tar says: names that lead out are refused, and so is what would go through a symbolic link;
 * links of the tar itself are made when all else is there.
 *
 * @throws KvciError `tar-leads-out`, `not-a-folder`, and the file system's own errors
 */
export async function unpackInto(entries: AsyncIterable<TarReadEntry>, target: string, skipped: (path: string) => void): Promise<void> {
  const folders: { readonly path: string; readonly entry: TarEntry }[] = [];
  const links: { readonly path: string; readonly to: string }[] = [];
  const checked = new Set<string>();
  for await (const entry of entries) {
    const path = placeOf(entry.path, target);
    await checkParents(path, target, checked);
    switch (entry.type) {
      case 'directory':
        await makeFolder(path);
        folders.push({ path, entry });
        break;
      case 'file':
        await placed(path, async (temporary) => {
          await pipeline(entry.content(), createWriteStream(temporary, { flags: 'wx', mode: 0o600 }));
          await chmod(temporary, entry.mode & PERMISSIONS);
          await utimes(temporary, entry.mtime, entry.mtime);
        });
        break;
      case 'hardlink': {
        const original = placeOf(entry.linkname ?? '', target);
        await checkParents(original, target, checked);
        await placed(path, (temporary) => link(original, temporary));
        break;
      }
      case 'symlink':
        links.push({ path, to: entry.linkname ?? '' });
        break;
      case 'character-device':
      case 'block-device':
      case 'fifo':
        skipped(entry.path);
    }
  }
  for (const { path, to } of links) await placed(path, (temporary) => symlink(to, temporary));
  // The deepest first: a folder may forbid to write in it.
  for (const { path, entry } of folders.toReversed()) {
    await chmod(path, entry.mode & PERMISSIONS);
    await utimes(path, entry.mtime, entry.mtime);
  }
}

/** Where a name of a tar lies below `target`, which stands for its first part. @throws KvciError `tar-leads-out` */
export function placeOf(name: string, target: string): string {
  const [first = '', ...rest] = name.split('/');
  if ([first, ...rest].every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))) return join(target, ...rest);
  throw new KvciError('failed', 'tar-leads-out', `what the node sends has a name that leads elsewhere: ${JSON.stringify(name)}`, {
    facts: { path: name },
  });
}

/** Every folder between `target` and a path has to be one, and no link to one. */
async function checkParents(path: string, target: string, checked: Set<string>): Promise<void> {
  if (path === target || checked.has(dirname(path))) return;
  const parent = dirname(path);
  await checkParents(parent, target, checked);
  const stats = await lstat(parent);
  if (!stats.isDirectory()) throw notAFolder(parent);
  checked.add(parent);
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!hasErrno(error, 'EEXIST')) throw error;
    if (!(await lstat(path)).isDirectory()) throw notAFolder(path);
  }
}

/** Makes a file under a name of its own and gives it the right one: what is there is replaced, never written through. */
async function placed(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.kvci-${randomBytes(6).toString('hex')}`);
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function notAFolder(path: string): KvciError {
  return new KvciError('failed', 'not-a-folder', `${path} is no folder, and nothing is copied over it or through it`, { facts: { path } });
}
