import { randomBytes, randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { parseState } from '../cluster/state.ts';
import { KvciError } from '../core/errors.ts';
import { tarStreamTar } from '../host/adapters/tar-stream-tar.ts';
import { systemClock } from '../host/clock.ts';
import { digestFile } from '../host/files.ts';
import { fileLocks } from '../host/locks.ts';
import { digestChunks } from './chunks.ts';
import { exportSnapshot } from './export.ts';
import { importSnapshot } from './import.ts';
import { chunksOf, keepChunks } from './kept.ts';
import { CHUNK, LAYOUT, type SavedFile, type SnapshotRecord } from './record.ts';
import { PASSING_SNAPSHOT, SNAPSHOT_FOLDER, snapshotReapers } from './reaper.ts';
import { removeUnusedChunks } from './remove.ts';
import { requireRunnable } from './runnable.ts';
import { SnapshotStore } from './store.ts';

/* Snapshots in their kept form, carried to another store, and damaged on the way. Files are made up: no machine runs. */

const run = { signal: new AbortController().signal, events: () => undefined };
const STATE = parseState(
  JSON.stringify({
    ...{ version: 1, name: 'lab', run: 'abc', createdAt: '2026-11-22T00:00:00Z', phase: 'ready', options: { name: 'lab' }, wanted: '1.36' },
    ...{
      provider: 'vm',
      image: { digest: `sha256:${'0'.repeat(64)}`, name: 'node' },
      kubernetes: '1.36.3',
      families: ['ipv4'],
      nodes: [],
      steps: [],
    },
  }),
  'a test',
);

let folder: string;
let here: ReturnType<typeof portsAt>;
let record: SnapshotRecord;
let file: string;

function portsAt(name: string) {
  const directories = { state: join(folder, name, 'state'), cache: join(folder, name, 'cache') };
  return { snapshots: new SnapshotStore(directories), locks: fileLocks(systemClock), tar: tarStreamTar };
}

const memoryOf = (ports: typeof here, one: SnapshotRecord): string => join(ports.snapshots.folder(one), 'node01/memory');

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-carry-'));
  here = portsAt('here');
  file = join(folder, 'ready.kvci');
  const disk = join(folder, 'disk.qcow2');
  await writeFile(disk, randomBytes(CHUNK + 17));
  const own = here.snapshots.folder({ name: 'ready', id: '01234567' });
  await mkdir(join(own, 'node01'), { recursive: true });
  await writeFile(join(own, 'node01/devices'), randomBytes(999));
  await writeFile(join(own, 'node01/memory'), Buffer.concat([randomBytes(CHUNK), Buffer.alloc(2 * CHUNK), Buffer.from('end')]));
  const files: SavedFile[] = [];
  for (const path of ['node01/devices', 'node01/memory']) {
    const { size } = await stat(join(own, path));
    files.push({ path, size, chunks: await digestChunks(join(own, path), size, undefined, run.signal) });
  }
  record = {
    ...{ layout: LAYOUT, name: 'ready', id: '01234567', createdAt: '2026-11-22T00:00:00Z', cluster: STATE, kubeconfig: '{}', files },
    machines: { qemu: 'QEMU 10', architecture: 'amd64', files: [disk], pausedMs: 1, machines: {}, record: '{}' },
    outside: [{ path: disk, ...(await digestFile(disk)) }],
  };
  await keepChunks(here.snapshots.chunks, own, files, run.signal);
  await here.snapshots.write(record);
});

afterEach(() => rm(folder, { recursive: true }));

async function flip(path: string, at: number): Promise<void> {
  await using handle = await open(path, 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
  await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 0x40]), 0, 1, at);
}

const start = (ports: typeof here, one: SnapshotRecord): Promise<void> =>
  requireRunnable(
    one,
    one.outside.map(({ path }) => path),
    ports,
    run,
  );

describe('what is kept of a snapshot', () => {
  it('has no chunks of zeros, and is compressed', async () => {
    expect(chunksOf(record.files)).toHaveLength(3);
    expect(await here.snapshots.chunks.has(chunksOf(record.files)[0] ?? 'sha256:')).toBe(true);
  });

  it.each(['gone', 'damaged'])('gives files that are %s anew, sparse', async (what) => {
    const path = memoryOf(here, record);
    const before = await readFile(path);
    if (what === 'gone') await rm(here.snapshots.folder(record), { recursive: true });
    else await flip(path, CHUNK + 5);
    await start(here, record);
    expect((await readFile(path)).equals(before)).toBe(true);
    expect((await stat(path)).blocks * 512).toBeLessThan(2 * CHUNK);
  });

  it('is refused where it is damaged, too', async () => {
    const [digest] = chunksOf(record.files);
    if (digest === undefined) throw new Error('no chunk');
    await rm(here.snapshots.folder(record), { recursive: true });
    const path = here.snapshots.chunks.path(digest);
    const at = randomInt((await stat(path)).size);
    await flip(path, at);
    await expect(start(here, record), `byte ${at}`).rejects.toMatchObject({ code: 'snapshot-damaged' });
    await rm(path);
    await expect(start(here, record)).rejects.toMatchObject({ code: 'snapshot-damaged' });
  });

  it('that leans on chunks of another stands by itself once a third has it', async () => {
    // The second has pages of the first, as a node has in memory what it has on disk.
    const folderOf = async (name: string, parts: readonly Buffer[]): Promise<SavedFile[]> => {
      const own = join(folder, name);
      await mkdir(join(own, 'node01'), { recursive: true });
      const files: SavedFile[] = [];
      for (const [index, bytes] of parts.entries()) {
        const path = `node01/part-${index}`;
        await writeFile(join(own, path), bytes);
        files.push({ path, size: bytes.length, chunks: await digestChunks(join(own, path), bytes.length, undefined, run.signal) });
      }
      await keepChunks(here.snapshots.chunks, own, files, run.signal);
      return files;
    };
    const disk = randomBytes(CHUNK);
    const memory = Buffer.concat([disk.subarray(CHUNK / 2), disk.subarray(0, CHUNK / 2)]);
    const [{ chunks: [onDisk] } = { chunks: [] }, { chunks: [inMemory] } = { chunks: [] }] = await folderOf('both', [disk, memory]);
    if (onDisk === undefined || onDisk === null || inMemory === undefined || inMemory === null) throw new Error('no chunks');
    const { chunks } = here.snapshots;
    expect(await chunks.size(inMemory)).toBeLessThan(CHUNK / 10);
    await folderOf('memory', [memory]);
    await chunks.remove(onDisk);
    expect((await chunks.unpacker().unpack(inMemory, await chunks.readPacked(inMemory), 'it')).equals(memory)).toBe(true);
  });

  it('is made anew where another snapshot finds it damaged', async () => {
    const [digest] = chunksOf(record.files);
    if (digest === undefined) throw new Error('no chunk');
    await writeFile(here.snapshots.chunks.path(digest), 'damaged');
    await keepChunks(here.snapshots.chunks, here.snapshots.folder(record), record.files, run.signal);
    await rm(here.snapshots.folder(record), { recursive: true });
    await start(here, record);
  });

  it('goes with the last snapshot that has it', async () => {
    const [digest = 'sha256:' as const] = chunksOf(record.files);
    expect(await removeUnusedChunks(here.snapshots, here.locks, systemClock.now() + 10 * 60 * 60_000)).toBe(0);
    await here.snapshots.remove('ready', record.id);
    expect(await removeUnusedChunks(here.snapshots, here.locks, systemClock.now())).toBeGreaterThan(0);
    expect(await here.snapshots.chunks.has(digest)).toBe(false);
  });
});

describe('a snapshot in a file', () => {
  beforeEach(async () => {
    await exportSnapshot('ready', file, here, run);
  });

  it('is its owner’s alone, and replaces nothing', async () => {
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await expect(exportSnapshot('ready', file, here, run)).rejects.toMatchObject({ code: 'file-exists' });
  });

  it('comes whole to another store, with the disk that it stands on', async () => {
    const there = portsAt('there');
    const imported = await importSnapshot(file, undefined, there, run);
    expect(imported).toMatchObject({ name: 'ready', imported: true });
    await rm(record.outside[0]?.path ?? '');
    await start(there, imported);
    expect((await readFile(memoryOf(there, imported))).equals(await readFile(memoryOf(here, record)))).toBe(true);
    expect((await digestFile(imported.outside[0]?.path ?? '')).digest).toBe(record.outside[0]?.digest);
    await expect(importSnapshot(file, undefined, there, run)).rejects.toMatchObject({ code: 'snapshot-exists' });
    expect((await importSnapshot(file, 'other', there, run)).name).toBe('other');
  });

  it('that is damaged anywhere is refused, or comes whole', async () => {
    const { size } = await stat(file);
    for (let round = 0; round < 15; round += 1) {
      const at = randomInt(size);
      await flip(file, at);
      const there = portsAt(`there-${round}`);
      try {
        const imported = await importSnapshot(file, undefined, there, run);
        // Padding and headers that say nothing of the content.
        await start(there, imported);
        expect((await readFile(memoryOf(there, imported))).equals(await readFile(memoryOf(here, record))), `byte ${at}`).toBe(true);
      } catch (error) {
        if (!(error instanceof KvciError)) throw error;
        expect(['snapshot-damaged', 'not-a-snapshot', 'tar-unsupported'], `byte ${at}: ${error.message}`).toContain(error.code);
        expect(await there.snapshots.names()).toEqual([]);
      }
      await flip(file, at);
    }
  });

  it('that is cut off is refused; the rest comes with the next try', async () => {
    const there = portsAt('there');
    const whole = await readFile(file);
    await truncate(file, Math.floor(whole.length * 0.7));
    await expect(importSnapshot(file, undefined, there, run)).rejects.toMatchObject({ code: 'snapshot-damaged' });
    expect(await there.snapshots.names()).toEqual([]);
    const [digest = 'sha256:' as const] = chunksOf(record.files);
    expect(await there.snapshots.chunks.has(digest)).toBe(true);
    await writeFile(file, whole);
    await start(there, await importSnapshot(file, undefined, there, run));
  });
});

describe('prune', () => {
  const reap = (kind: string, resource: Readonly<Record<string, string>>): Promise<void> | undefined =>
    snapshotReapers(here.snapshots)
      .find((reaper) => reaper.kind === kind)
      ?.reap(resource);

  it('leaves a snapshot that was whole when its kvci was killed', async () => {
    await reap(SNAPSHOT_FOLDER, { folder: here.snapshots.folder(record), name: 'ready' });
    expect(await here.snapshots.names()).toEqual(['ready']);
    expect(existsSync(memoryOf(here, record))).toBe(true);
  });

  it('removes the one that a killed fork came from, once', async () => {
    for (const _time of ['first', 'second']) await reap(PASSING_SNAPSHOT, { name: 'ready' });
    expect(await here.snapshots.names()).toEqual([]);
    expect(existsSync(here.snapshots.folder(record))).toBe(false);
  });
});
