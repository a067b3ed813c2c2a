import { mkdir, mkdtemp, open, rm, truncate, unlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { digestFile } from '../host/files.ts';
import { digestChunks } from './chunks.ts';
import { CHUNK, type SnapshotRecord } from './record.ts';
import { rememberRight, verifySnapshot } from './verify.ts';

const NEVER = new AbortController().signal;
const SIZE = 3 * CHUNK;
let folder: string;
let record: Pick<SnapshotRecord, 'name' | 'files' | 'outside'>;

const memory = (): string => join(folder, 'node01/memory');
const disk = (): string => join(folder, 'base.qcow2');
const verify = (): Promise<void> => verifySnapshot(folder, record, [disk()], NEVER);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-verify-'));
  await mkdir(join(folder, 'node01'));
  await writeFile(memory(), 'some memory');
  await truncate(memory(), SIZE);
  await writeFile(disk(), 'a disk');
  record = {
    name: 'ready',
    files: [{ path: 'node01/memory', size: SIZE, chunks: await digestChunks(memory(), SIZE, undefined, NEVER) }],
    outside: [{ path: disk(), ...(await digestFile(disk())) }],
  };
});

afterEach(() => rm(folder, { recursive: true }));

async function flip(path: string, at: number): Promise<void> {
  await using file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at);
}

describe('files of a snapshot', () => {
  it('are right as they were saved', async () => {
    await verify();
    await verify();
  });

  it.each([0, 5, CHUNK + 7, SIZE - 1])('with a flipped bit at %d are not, remembered or not', async (at) => {
    await verify();
    await flip(memory(), at);
    await expect(verify()).rejects.toMatchObject({ code: 'snapshot-damaged', facts: { file: 'node01/memory' } });
    await rm(join(folder, 'verified.json'));
    await expect(verify()).rejects.toMatchObject({ code: 'snapshot-damaged' });
  });

  it('are not read again until they are written', async () => {
    await rememberRight(folder, ['node01/memory', disk()]);
    // Whoever read it would find that it is another.
    record = { ...record, files: record.files.map((file) => ({ ...file, chunks: file.chunks.map(() => null) })) };
    await verify();
    await utimes(memory(), 1, 1);
    await expect(verify()).rejects.toMatchObject({ code: 'snapshot-damaged' });
  });

  it('that are cut off or gone are told', async () => {
    await truncate(memory(), SIZE - 1);
    await expect(verify()).rejects.toThrow(`it has ${SIZE - 1} bytes instead of ${SIZE}`);
    await unlink(memory());
    await expect(verify()).rejects.toThrow('it is not there');
  });

  it('stand on a disk that is the same', async () => {
    await verify();
    await writeFile(disk(), 'b disk');
    await expect(verify()).rejects.toMatchObject({ code: 'snapshot-needs-disk' });
    await unlink(disk());
    await expect(verify()).rejects.toThrow('which is not there');
  });

  it('are found right anew where what is remembered cannot be read', async () => {
    await writeFile(join(folder, 'verified.json'), '{"node01/mem');
    await verify();
  });
});
