import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { type Digest, hexOf, isDigest, sha256 } from '../core/digest.ts';
import { hasErrno, KvciError, messageOf } from '../core/errors.ts';
import { parseName } from '../core/names.ts';
import type { RunContext } from '../core/plan.ts';
import { asDiskFull } from '../host/files.ts';
import type { TarReadEntry } from '../host/tar.ts';
import { CHUNKS_FOLDER, DIGEST_ENTRY, OUTSIDE, RECORD_ENTRY } from './export.ts';
import { chunksOf } from './kept.ts';
import { packChunk } from './packed.ts';
import type { SnapshotPorts } from './ports.ts';
import { parseSnapshot, type SnapshotRecord } from './record.ts';
import { snapshotId } from './store.ts';

/** More than the record of any snapshot takes; a file of something else is not read into memory. */
const MOST_RECORD = 256 * 2 ** 20;
const MOST_CHUNK = 4 * 2 ** 20;

/**
 * Takes a snapshot out of a file that {@link exportSnapshot} wrote. What was taken before it failed is there for the next try, which
 * takes the rest. Clusters of it get keys of their own: those in the file are known to whoever has it.
 *
 * @param wanted its name here; undefined: the one that it had
 * @throws KvciError `file-not-found`, `not-a-snapshot`, `snapshot-damaged`, `snapshot-exists`, `disk-full`
 */
export async function importSnapshot(
  file: string,
  wanted: string | undefined,
  ports: Pick<SnapshotPorts, 'snapshots' | 'locks' | 'tar'>,
  { signal }: Pick<RunContext, 'signal'>,
): Promise<SnapshotRecord> {
  const source = createReadStream(file);
  try {
    const entries = ports.tar.read(source, { complete: true });
    const digest = await first(entries, DIGEST_ENTRY, file);
    const text = await first(entries, RECORD_ENTRY, file);
    if (hexOf(sha256(text)) !== digest.toString('latin1').trim()) throw damaged(file, 'its record is not what was written');
    const read = parseSnapshot(text.toString('utf8'), file);
    const name = parseName(wanted ?? read.name, 'name of a snapshot');
    await using _lock = await ports.locks.exclusive(ports.snapshots.lock(name), { signal });
    if ((await ports.snapshots.names()).includes(name)) {
      throw new KvciError('notFoundOrExists', 'snapshot-exists', `there is a snapshot "${name}" already`, {
        hint: `Give this one another name with --name, or remove that one: "kvci snapshot rm ${name}".`,
        facts: { snapshot: name },
      });
    }
    const { chunks } = ports.snapshots;
    await using _chunks = await ports.locks.exclusive(ports.snapshots.chunksLock, { signal });
    const all = new Set(chunksOf(read.files));
    const missing = new Set<Digest>();
    const unpacker = chunks.unpacker();
    for (const one of all) if (!(await chunks.hasFor(one, all, unpacker))) missing.add(one);
    for await (const entry of entries) {
      signal.throwIfAborted();
      const one = digestOfEntry(entry, file);
      if (!missing.has(one)) continue;
      const packed = await buffer(entry.content());
      const bytes = await unpacker.unpack(one, packed, `${file}: ${entry.path}`);
      // Others may lean on any page of one that is there and damaged.
      await chunks.putPacked(one, (await chunks.has(one)) ? await packChunk(bytes) : packed);
      missing.delete(one);
    }
    if (missing.size > 0) throw damaged(file, `${missing.size} chunks are missing`);
    const record = own(read, name, ports);
    await ports.snapshots.write(record);
    return record;
  } catch (error) {
    if (hasErrno(error, 'ENOENT') && error.path === file) {
      throw new KvciError('notFoundOrExists', 'file-not-found', `there is no file ${file}`, { facts: { file }, cause: error });
    }
    if (error instanceof KvciError && error.code === 'tar-damaged') throw damaged(file, messageOf(error), error);
    throw asDiskFull(error, ports.snapshots.files);
  } finally {
    source.destroy();
  }
}

/** The record as it is here: what was outside of the snapshot has become its own. */
function own(read: SnapshotRecord, name: string, { snapshots }: Pick<SnapshotPorts, 'snapshots'>): SnapshotRecord {
  const id = snapshotId();
  const folder = snapshots.folder({ name, id });
  const outside = read.outside.map((one) => ({ ...one, path: join(folder, OUTSIDE, one.path.split('/').at(-1) ?? '') }));
  return { ...read, name, id, imported: true, outside, machines: { ...read.machines, files: outside.map(({ path }) => path) } };
}

async function first(entries: AsyncIterableIterator<TarReadEntry>, wanted: string, file: string): Promise<Buffer> {
  const next = await entries.next().catch((error: unknown) => {
    if (error instanceof KvciError && error.code === 'tar-damaged') throw notOurs(file, error);
    throw error;
  });
  if (next.done === true) throw notOurs(file);
  const { path, type, size, content } = next.value;
  if (path !== wanted || type !== 'file' || size > MOST_RECORD) throw notOurs(file);
  return buffer(content());
}

function digestOfEntry({ path, type, size }: TarReadEntry, file: string): Digest {
  const digest = `sha256:${path.slice(CHUNKS_FOLDER.length)}`;
  if (type === 'file' && path.startsWith(CHUNKS_FOLDER) && size <= MOST_CHUNK && isDigest(digest)) return digest;
  throw damaged(file, `it holds ${JSON.stringify(path)}`);
}

function notOurs(file: string, cause?: unknown): KvciError {
  return new KvciError('failed', 'not-a-snapshot', `${file} is no snapshot of a cluster`, {
    hint: 'Files that "kvci snapshot export" wrote are.',
    facts: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}

function damaged(file: string, why: string, cause?: unknown): KvciError {
  return new KvciError('failed', 'snapshot-damaged', `${file} is damaged: ${why}`, {
    hint: 'Copy it anew from where it was written.',
    facts: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}
