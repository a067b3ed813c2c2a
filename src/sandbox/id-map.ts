import { KvciError } from '../core/errors.ts';

/** One line of /proc/PID/uid_map: `count` ids from `inside` on are those from `outside` on of the parent namespace. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Ids that a sandbox has: those that Debian's base-passwd and systemd know, nobody (65534) among them. */
export const SANDBOX_IDS = 65536;

/** The least number of subordinate ids that a Debian root file system can be unpacked with. */
const LEAST_SUBORDINATE_IDS = 65535;

/**
 * Root's map: the same ids inside as outside, as far as root itself has them.
 *
 * @throws KvciError `too-few-ids` inside a container that maps fewer ids than a Debian system has
 */
export function identityMap(ownMap: readonly IdRange[]): IdRange[] {
  let count = 0;
  for (const range of ownMap.toSorted((a, b) => a.inside - b.inside)) {
    if (range.inside > count) break;
    count = Math.max(count, range.inside + range.count);
  }
  if (count < SANDBOX_IDS) {
    throw new KvciError('hostNotReady', 'too-few-ids', `root has only the ids below ${count} here`, {
      hint: `Give the container that kvci runs in at least ${SANDBOX_IDS} user and group ids.`,
    });
  }
  return [{ inside: 0, outside: 0, count: SANDBOX_IDS }];
}

/** An ordinary user's map: the user is root inside, all others are the user's subordinate ids. */
export function subordinateMap(id: number, subordinate: Subordinate): IdRange[] {
  return [
    { inside: 0, outside: id, count: 1 },
    { inside: 1, outside: subordinate.start, count: Math.min(subordinate.count, SANDBOX_IDS - 1) },
  ];
}

export interface Subordinate {
  readonly start: number;
  readonly count: number;
}

/** The first range of /etc/subuid or /etc/subgid that is large enough, by name or number of the user (subuid(5)). */
export function findSubordinate(file: string, user: { readonly name: string; readonly uid: number }): Subordinate | undefined {
  for (const line of file.split('\n')) {
    const [owner, start, count] = line.trim().split(':');
    if (owner !== user.name && owner !== String(user.uid)) continue;
    const range = { start: Number(start), count: Number(count) };
    if (Number.isSafeInteger(range.start) && range.count >= LEAST_SUBORDINATE_IDS) return range;
  }
  return undefined;
}

/** The first id from 100000 on, as useradd(8) counts, above all that a file of subordinate ids gives away. */
export function firstFreeSubordinate(file: string): number {
  const ends = file.split('\n').map((line) => {
    const [, start, count] = line.trim().split(':');
    return Number(start) + Number(count);
  });
  return Math.max(100_000, ...ends.filter(Number.isSafeInteger));
}

/** Reads /proc/PID/uid_map or gid_map. */
export function parseIdMap(text: string): IdRange[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([inside, outside, count]) =>
      inside === undefined || outside === undefined || count === undefined ? [] : [{ inside, outside, count }],
    );
}

/** The text that the kernel takes as uid_map, and by words the arguments of newuidmap(1). */
export function formatIdMap(map: readonly IdRange[]): string {
  return map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');
}
