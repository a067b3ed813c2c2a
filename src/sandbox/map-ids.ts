import { readFile, writeFile } from 'node:fs/promises';

import { hasErrno, KvciError } from '../core/errors.ts';
import { shellLine } from '../core/shell.ts';
import type { CommandRunner } from '../host/types.ts';
import {
  findSubordinate,
  firstFreeSubordinate,
  formatIdMap,
  identityMap,
  type IdRange,
  parseIdMap,
  SANDBOX_IDS,
  type Subordinate,
  subordinateMap,
} from './id-map.ts';

/** Gives the user namespace of a process its ids. */
export type IdMapper = (pid: number) => Promise<void>;

/** Who runs kvci. */
export interface HostUser {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

/** The command by which root gives a user subordinate ids that nobody has yet. */
export async function subordinateCommand(user: HostUser): Promise<readonly [string, ...string[]]> {
  const first = Math.max(firstFreeSubordinate(await readIfThere('/etc/subuid')), firstFreeSubordinate(await readIfThere('/etc/subgid')));
  const range = `${first}-${first + SANDBOX_IDS - 1}`;
  return ['usermod', '--add-subuids', range, '--add-subgids', range, user.name];
}

/**
 * Root writes identity maps itself; an ordinary user has newuidmap(1) and newgidmap(1) write them, within /etc/subuid and
 * /etc/subgid.
 *
 * @throws (the mapper) KvciError `no-subordinate-ids`, `no-newuidmap`, `too-few-ids`
 */
export function idMapper(user: HostUser, commands: CommandRunner): IdMapper {
  return user.uid === 0 ? mapAsRoot : (pid) => mapAsUser(pid, user, commands);
}

async function mapAsRoot(pid: number): Promise<void> {
  for (const file of ['uid_map', 'gid_map']) {
    const own = parseIdMap(await readFile(`/proc/self/${file}`, 'utf8'));
    await writeFile(`/proc/${pid}/${file}`, formatIdMap(identityMap(own)));
  }
}

async function mapAsUser(pid: number, user: HostUser, commands: CommandRunner): Promise<void> {
  const uids = subordinateMap(user.uid, await readSubordinate('/etc/subuid', user));
  const gids = subordinateMap(user.gid, await readSubordinate('/etc/subgid', user));
  await runMapper('newuidmap', pid, uids, commands);
  await runMapper('newgidmap', pid, gids, commands);
}

/** @throws KvciError `no-subordinate-ids` */
export async function readSubordinate(file: '/etc/subuid' | '/etc/subgid', user: HostUser): Promise<Subordinate> {
  const found = findSubordinate(await readIfThere(file), user);
  if (found !== undefined) return found;
  throw new KvciError('hostNotReady', 'no-subordinate-ids', `${file} gives ${user.name} no range of 65536 ids`, {
    hint: `As root, once: ${shellLine(await subordinateCommand(user))}`,
  });
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

async function runMapper(program: string, pid: number, map: readonly IdRange[], commands: CommandRunner): Promise<void> {
  try {
    await commands.run([program, String(pid), ...formatIdMap(map).trim().split(/\s+/)]);
  } catch (error) {
    if (!(error instanceof KvciError) || error.code !== 'command-missing') throw error;
    throw new KvciError('hostNotReady', 'no-newuidmap', `${program} is not installed: an ordinary user needs it to use subordinate ids`, {
      hint: 'As root, once: apt-get install uidmap (Debian, Ubuntu) or dnf install shadow-utils-subid (Fedora, CentOS)',
      cause: error,
    });
  }
}
