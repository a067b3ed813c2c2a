import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { isErrno, KvciError, messageOf } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { checkFolderOf } from '../disk/output.ts';
import { asDiskFull, writeFileAtomic } from '../host/files.ts';

const FLAG = '--report';

/** Where the report goes when nobody says. */
export function besideDisk(disk: string): string {
  return `${disk}.verification.json`;
}

/**
 * Finds out before the work whether the report can be written: nobody wants to wait for one that cannot.
 *
 * @param disk what is verified, where that is known already
 * @throws KvciError `folder-missing`, `folder-read-only`, `not-a-file`
 */
export async function checkReportFile(file: string, disk?: string): Promise<void> {
  await checkFolderOf(file, FLAG);
  const there = await stat(file).catch(() => undefined);
  const problem =
    disk !== undefined && resolve(disk) === resolve(file)
      ? 'is the disk itself'
      : there?.isFile() === false
        ? 'is no regular file'
        : undefined;
  if (problem !== undefined)
    throw new KvciError('usage', 'not-a-file', `${FLAG}: ${file} ${problem}`, { hint: 'Name a file of its own.', facts: { flag: FLAG } });
}

/** Writes the report. Where that fails after all, the result is still told: undefined, and a warning says why. */
export async function writeReportFile(file: string, text: string, { events }: Pick<RunContext, 'events'>): Promise<string | undefined> {
  try {
    await writeFileAtomic(file, text);
    return file;
  } catch (error) {
    const failure = asDiskFull(error, file);
    if (!(failure instanceof KvciError) && !isErrno(failure)) throw failure;
    const message = `the report could not be written: ${messageOf(failure)}`;
    events({ type: 'problem', level: 'warning', message, hint: 'Its content is what --output json prints.' });
    return undefined;
  }
}
