import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import type { CommandRunner } from '../host/types.ts';

/**
 * The commit of the kvci in `folder`: asked of git in a checkout, as `npm pack` wrote it down in a package. Ends with `-dirty` where
 * tracked files differ; undefined where neither knows (a copy without .git, no git on the host).
 */
export async function ownRevision(folder: string, commands: CommandRunner): Promise<string | undefined> {
  // Not just any .git above: a package may be installed in somebody else's repository.
  return existsSync(join(folder, '.git')) ? askGit(folder, commands) : packed(folder);
}

async function askGit(folder: string, commands: CommandRunner): Promise<string | undefined> {
  // The checkout may be another user's; its code is what runs here anyway.
  const git = ['git', '--no-optional-locks', '-c', 'safe.directory=*', '-C', folder] as const;
  try {
    const { stdout } = await commands.run([...git, 'describe', '--always', '--abbrev=40', '--dirty', '--exclude=*']);
    return stdout.trim();
  } catch (error) {
    if (error instanceof KvciError && error.reason !== 'interrupted' && error.reason !== 'terminated') return undefined;
    throw error;
  }
}

async function packed(folder: string): Promise<string | undefined> {
  try {
    return (await readFile(join(folder, 'dist/revision'), 'utf8')).trim();
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
