import { execFileSync } from 'node:child_process';
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

import { scratchFolder, treeEntry } from '../../test/fixtures/layouts.ts';
import { tarStreamTar } from './adapters/tar-stream-tar.ts';
import { indexTar, type IndexedEntry } from './tar-index.ts';
import type { TarEntryWithContent } from './tar.ts';

function indexed(path: string): readonly IndexedEntry[] | undefined {
  const file = openSync(path, 'r');
  try {
    return indexTar(file);
  } finally {
    closeSync(file);
  }
}

async function read(path: string): Promise<readonly IndexedEntry[]> {
  const entries: IndexedEntry[] = [];
  for await (const { content: _content, ...entry } of tarStreamTar.read(createReadStream(path))) entries.push(entry);
  return entries;
}

async function written(...entries: readonly TarEntryWithContent[]): Promise<string> {
  const path = join(scratchFolder(), 'x.tar');
  writeFileSync(path, await buffer(tarStreamTar.write(entries)));
  return path;
}

/** A folder with what tars are made of, packed by GNU tar. */
function packed(...flags: readonly string[]): string {
  const folder = scratchFolder();
  const root = join(folder, 'root');
  mkdirSync(join(root, 'd', 'n'.repeat(90), 'm'.repeat(90)), { recursive: true });
  writeFileSync(join(root, 'file'), 'x'.repeat(1000));
  writeFileSync(join(root, 'größe'), '');
  writeFileSync(join(root, 'd', 'n'.repeat(90), 'm'.repeat(90), 'deep'), 'deep');
  symlinkSync('t'.repeat(150), join(root, 'link'));
  execFileSync('ln', [join(root, 'file'), join(root, 'hard')]);
  execFileSync('mkfifo', [join(root, 'fifo')]);
  utimesSync(join(root, 'file'), 5_000_000_000, 5_000_000_000);
  const path = join(folder, 'x.tar');
  execFileSync('tar', ['--create', '--sort=name', `--file=${path}`, `--directory=${root}`, ...flags, '.']);
  return path;
}

describe('a tar that is indexed', () => {
  it.each<readonly [readonly string[]]>([
    [['--format=posix']],
    [['--format=gnu']],
    [['--format=posix', '--owner=somebody:3000000', '--group=any:4000000']],
    [['--format=gnu', '--owner=somebody:3000000']],
  ])('has the entries that are read, %j', async (flags) => {
    const path = packed(...flags);
    const found = indexed(path);
    expect(found).toEqual(await read(path));
    const bytes = readFileSync(path);
    const { offset = 0, size = 0 } = found?.find((entry) => entry.path === 'file' || entry.path === 'hard') ?? {};
    expect(bytes.toString('latin1', offset, offset + size)).toBe('x'.repeat(1000));
  });

  it('has attributes, devices, owners and modes', async () => {
    const path = await written(
      treeEntry('usr/bin/ping', 'p', {
        mode: 0o4755,
        uid: 2 ** 22,
        gid: 5,
        xattrs: { 'security.capability': '\x01\x00\x80\xff', 'user.größe': 'ä' },
      }),
      treeEntry('dev/null', '', { type: 'character-device', device: { major: 1, minor: 3 } }),
      treeEntry('\udce4', 'a name of Latin 1'),
      treeEntry('d/', '', { mode: 0 }),
    );
    expect(indexed(path)).toEqual(await read(path));
  });

  it('is left to others where files are stored sparse', () => {
    const folder = scratchFolder();
    writeFileSync(join(folder, 'f'), 'data');
    truncateSync(join(folder, 'f'), 2 ** 22);
    for (const format of ['posix', 'gnu']) {
      execFileSync('tar', ['--create', '--sparse', `--format=${format}`, `--file=${join(folder, 'x.tar')}`, `--directory=${folder}`, 'f']);
      expect(indexed(join(folder, 'x.tar'))).toBeUndefined();
    }
  });

  it.each<[string, (bytes: Buffer) => void]>([
    ['a checksum that is wrong', (bytes) => bytes.writeUInt8(0x41, 0)],
    ['a size that is none', (bytes) => bytes.write('99', 124)],
    ['a path that leads out', (bytes) => bytes.write('../x\0', 0)],
  ])('is refused for %s', async (_what, damage) => {
    const path = await written(treeEntry('abc', 'content'));
    const bytes = readFileSync(path);
    damage(bytes);
    if (_what === 'a path that leads out') fixChecksum(bytes);
    writeFileSync(path, bytes);
    expect(() => indexed(path)).toThrow(expect.objectContaining({ code: 'tar-damaged' }));
  });

  it('is refused when a header is cut off', async () => {
    const path = await written(treeEntry('abc', 'content'), treeEntry('def', 'more'));
    truncateSync(path, 1024 + 100);
    expect(() => indexed(path)).toThrow(expect.objectContaining({ code: 'tar-damaged' }));
  });
});

function fixChecksum(bytes: Buffer): void {
  bytes.write('        ', 148);
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}
