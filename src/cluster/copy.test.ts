import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { expect, test } from 'vitest';

import { brokenSource } from '../../test/fixtures/broken-source.ts';
import { layoutTools, scratchFolder } from '../../test/fixtures/layouts.ts';
import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import type { NodeHandle } from '../machine/types.ts';
import { copy } from './copy.ts';

/* This host in place of a node: what its shell is told is what a node's is told. */

const NODE = { name: 'node01', ...hostCommands(() => undefined, systemClock) } as unknown as NodeHandle;

function tools(stdin: Readable) {
  const { signal } = new AbortController();
  return { tar: layoutTools.tar, events: () => undefined, signal, cwd: '/', stdin, stdout: new PassThrough() };
}

test('standard input takes the place of a file when all of it is there, and only then', async () => {
  const folder = scratchFolder();
  const path = join(folder, 'file');
  await writeFile(path, 'as it was');
  const up = (stdin: Readable) =>
    copy({ way: 'up', from: undefined, to: { kind: 'node', node: 'node01', path, folder: false } }, NODE, tools(stdin));
  const broken = brokenSource('half', Object.assign(new Error('EIO: i/o error, read'), { errno: -5, code: 'EIO', syscall: 'read' }));
  await expect(up(broken)).rejects.toMatchObject({ code: 'copy-failed', message: 'EIO: i/o error, read' });
  expect(await readFile(path, 'utf8')).toBe('as it was');
  expect(await readdir(folder)).toEqual(['file']);
  await up(Readable.from(['anew']));
  expect(await readFile(path, 'utf8')).toBe('anew');
});
