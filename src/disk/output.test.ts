import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { scratchFolder } from '../../test/fixtures/layouts.ts';
import { hostCommands } from '../host/adapters/execa-commands.ts';
import { systemClock } from '../host/clock.ts';
import { fileLedger, reapOrphans } from '../host/ledger.ts';
import { checkOutput, copyDisk, diskCopyReaper } from './output.ts';

const commands = hostCommands(() => undefined, systemClock);
const { signal } = new AbortController();
const parts = (): { readonly commands: typeof commands; readonly ledger: ReturnType<typeof fileLedger> } => ({
  commands,
  ledger: fileLedger({ state: scratchFolder() }),
});

describe('where a disk is put', () => {
  it('a new name in a folder', async () => {
    await expect(checkOutput(join(scratchFolder(), 'node.qcow2'))).resolves.toBeUndefined();
  });

  it('not over what is there', async () => {
    const file = join(scratchFolder(), 'node.qcow2');
    await writeFile(file, 'mine');
    await expect(checkOutput(file)).rejects.toMatchObject({ code: 'file-exists', exitCode: 5 });
    await writeFile(`${file}.new`, 'disk');
    await expect(copyDisk(`${file}.new`, file, parts(), signal)).rejects.toMatchObject({ code: 'file-exists' });
    expect(await readFile(file, 'utf8')).toBe('mine');
  });

  it('not in a folder that is not there', async () => {
    const folder = scratchFolder();
    await writeFile(join(folder, 'file'), '');
    for (const parent of ['gone', 'file']) {
      await expect(checkOutput(join(folder, parent, 'node.qcow2'))).rejects.toMatchObject({ code: 'folder-missing', exitCode: 5 });
    }
  });

  it('not in a folder that takes no files', async () => {
    await expect(checkOutput('/proc/node.qcow2')).rejects.toMatchObject({ code: 'folder-read-only', exitCode: 2 });
  });
});

describe('the copy of a disk', () => {
  it('is whole, keeps its holes and is a file of its own', async () => {
    const folder = scratchFolder();
    const disk = join(folder, 'disk.raw');
    await using file = await open(disk, 'w');
    await file.write(Buffer.from('start'), 0, 5, 0);
    await file.write(Buffer.from('end'), 0, 3, 64 * 2 ** 20);
    const copy = join(folder, 'copy.raw');
    await copyDisk(disk, copy, parts(), signal);
    const { size, blocks, nlink } = await stat(copy);
    expect(size).toBe(64 * 2 ** 20 + 3);
    expect(blocks * 512).toBeLessThan(2 ** 20);
    expect(nlink).toBe(1);
    expect((await readdir(folder)).toSorted()).toEqual(['copy.raw', 'disk.raw']);
  });

  it('leaves nothing when there is no disk', async () => {
    const folder = scratchFolder();
    await expect(copyDisk(join(folder, 'gone'), join(folder, 'copy'), parts(), signal)).rejects.toThrow(/No such file/);
    expect(await readdir(folder)).toEqual([]);
  });

  it('stands in the ledger while it is made, and prune removes one whose kvci was killed', async () => {
    const folder = scratchFolder();
    const disk = join(folder, 'disk.raw');
    await writeFile(disk, 'disk');
    const { ledger } = parts();
    const entered: string[] = [];
    const watching = {
      ...ledger,
      enter: async (...args: Parameters<typeof ledger.enter>) => {
        entered.push(String(args[1]['path']));
        return ledger.enter(...args);
      },
    };
    await copyDisk(disk, join(folder, 'copy.raw'), { commands, ledger: watching }, signal);
    expect(entered).toEqual([expect.stringMatching(/copy\.raw\.tmp-[0-9a-f]+$/)]);
    expect(await ledger.entries()).toEqual([]);
    const left = join(folder, 'other.raw.tmp-1');
    await writeFile(left, 'half');
    await diskCopyReaper.reap({ path: left });
    await diskCopyReaper.reap({ path: left });
    expect((await readdir(folder)).toSorted()).toEqual(['copy.raw', 'disk.raw']);
    expect(await reapOrphans(ledger, [diskCopyReaper])).toEqual({ removed: [], failed: [] });
  });
});
