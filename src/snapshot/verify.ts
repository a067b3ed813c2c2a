import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../core/errors.ts';
import { digestFile, writeFileAtomic } from '../host/files.ts';
import { digestChunks } from './chunks.ts';
import type { SavedFile, SnapshotRecord } from './record.ts';

/** What a file looked like when its content was last found right. */
const markSchema = z.object({ size: z.number(), modified: z.string(), inode: z.string() });
type Mark = z.output<typeof markSchema>;
const marksSchema = z.record(z.string(), markSchema);

/** What is remembered of files that were found right, beside them. */
function marksFile(folder: string): string {
  return join(folder, 'verified.json');
}

/** Remembers that the files of a snapshot are right as they are. @param paths absolute, or relative to the folder */
export async function rememberRight(folder: string, paths: readonly string[]): Promise<void> {
  const marks = await Promise.all(paths.map(async (path) => [path, await markOf(placeOf(folder, path))] as const));
  await writeFileAtomic(marksFile(folder), `${JSON.stringify(Object.fromEntries(marks))}\n`, 0o600);
}

/**
 * Finds damage before anything starts: each file is there and as it was. What was found right and has not been written since is not
 * read again.
 *
 * @param outside where the files outside of the snapshot are here, in the order of its record
 * @throws KvciError `snapshot-damaged`, `snapshot-needs-disk`
 */
export async function verifySnapshot(
  folder: string,
  { name, files, outside }: Pick<SnapshotRecord, 'name' | 'files' | 'outside'>,
  outsidePaths: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const before = await readMarks(folder);
  let changed = false;
  const isKnown = async (path: string, size: number): Promise<boolean> => {
    const mark = await markOf(placeOf(folder, path));
    if (mark === undefined) throw damaged(name, path, 'it is not there');
    if (mark.size !== size) throw damaged(name, path, `it has ${mark.size} bytes instead of ${size}`);
    const known = before[path];
    return known?.modified === mark.modified && known.inode === mark.inode;
  };
  for (const file of files) {
    if (await isKnown(file.path, file.size)) continue;
    changed = true;
    await verifyChunks(folder, name, file, signal);
  }
  for (const [index, { size, digest }] of outside.entries()) {
    const path = outsidePaths[index] ?? '';
    if (await isKnown(path, size).catch(() => false)) continue;
    changed = true;
    const found = await digestFile(path).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (found?.digest !== digest) throw needsDisk(name, path, found === undefined);
  }
  if (changed) await rememberRight(folder, [...files.map(({ path }) => path), ...outsidePaths]);
}

async function verifyChunks(folder: string, name: string, { path, size, chunks }: SavedFile, signal: AbortSignal): Promise<void> {
  // All of it is read: where it had zeros it may have something else by now.
  const found = await digestChunks(join(folder, path), size, undefined, signal);
  const wrong = found.findIndex((digest, index) => digest !== (chunks[index] ?? null));
  if (wrong !== -1 || found.length !== chunks.length) throw damaged(name, path, `chunk ${wrong} is not what was saved`);
}

async function readMarks(folder: string): Promise<Readonly<Record<string, Mark>>> {
  try {
    return marksSchema.parse(JSON.parse(await readFile(marksFile(folder), 'utf8')));
  } catch (error) {
    // What cannot be read is found out anew.
    if (hasErrno(error, 'ENOENT') || error instanceof SyntaxError || error instanceof z.ZodError) return {};
    throw error;
  }
}

async function markOf(path: string): Promise<Mark | undefined> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return { size: Number(size), modified: String(mtimeNs), inode: String(ino) };
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function placeOf(folder: string, path: string): string {
  return path.startsWith('/') ? path : join(folder, path);
}

function damaged(name: string, path: string, why: string): KvciError {
  return new KvciError('failed', 'snapshot-damaged', `the snapshot "${name}" is damaged: ${path}: ${why}`, {
    hint: `Remove it with "kvci snapshot rm ${name}", and make it anew.`,
    facts: { snapshot: name, file: path },
  });
}

function needsDisk(name: string, path: string, missing: boolean): KvciError {
  const message = missing
    ? `the snapshot "${name}" stands on ${path}, which is not there`
    : `the snapshot "${name}" stands on another ${path}`;
  return new KvciError('failed', 'snapshot-needs-disk', message, {
    hint: 'Make the disk of the same node image: kvci disk build IMAGE. Or make the snapshot anew.',
    facts: { snapshot: name, file: path },
  });
}
