import { chmod, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import type { Clock } from '../core/clock.ts';
import { KvciError, throwIfCancelled } from '../core/errors.ts';
import type { LockOptions, Locks } from './types.ts';

/** How often a lock that somebody else holds is tried again. */
const POLL_MS = 50;

/** Nothing is ever written, so no journal has to be on disk. */
const EXCLUSIVE = 'PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE';

/** A transaction takes its shared lock with its first read. */
const SHARED = 'BEGIN; SELECT count(*) FROM sqlite_schema';

/** Result code SQLITE_BUSY: somebody else holds the file. */
const SQLITE_BUSY = 5;

/**
 * Locks on files, taken by SQLite transactions on empty databases.
 *
 * Why SQLite: node has no flock(2), and SQLite's transactions are fcntl(2) locks that the kernel frees the instant the
 * process dies, however it dies. There is no pid to be reused, no child to keep alive (util-linux's flock would need one that
 * outlives Ctrl-C), no network namespace that hides a holder from another (abstract sockets have one), and children do not
 * inherit them. Locks count within one process as well as between processes, containers and users.
 *
 * A lock file stays after use, empty: removing one under waiters would let two of them hold "the same" lock. It must never be
 * opened by other means in this process: by POSIX, closing any descriptor of a file drops all of the process's locks on it.
 */
export function fileLocks(clock: Clock): Locks {
  const wait = async (path: string, statement: string, options: LockOptions): Promise<AsyncDisposable> => {
    const database = await open(path);
    try {
      let waited = false;
      for (;;) {
        throwIfCancelled(options.signal);
        if (take(database, statement, path)) return held(database);
        if (!waited) options.onWait?.();
        waited = true;
        await clock.wait(POLL_MS, options.signal).catch(() => undefined);
      }
    } catch (error) {
      database.close();
      throw error;
    }
  };
  return {
    exclusive: (path, options = {}) => wait(path, EXCLUSIVE, options),
    shared: (path, options = {}) => wait(path, SHARED, options),
    tryExclusive: async (path) => {
      const database = await open(path);
      if (take(database, EXCLUSIVE, path)) return held(database);
      database.close();
      return undefined;
    },
  };
}

async function open(path: string): Promise<DatabaseSync> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const database = openDatabase(path);
  // Root and a user who share a cache must both be able to lock; who may come near is up to the folder's mode.
  await chmod(path, 0o666).catch(() => undefined);
  return database;
}

function openDatabase(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (error) {
    throw unusable(path, error);
  }
}

function take(database: DatabaseSync, statement: string, path: string): boolean {
  try {
    database.exec(statement);
    return true;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    if (error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY) return false;
    throw unusable(path, error);
  }
}

function held(database: DatabaseSync): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: () => {
      if (database.isOpen) database.close();
      return Promise.resolve();
    },
  };
}

function unusable(path: string, cause: unknown): KvciError {
  return new KvciError('hostNotReady', 'lock-unusable', `cannot lock ${path}`, {
    hint: 'The folder must be writable, with free space, and its file system must support locks.',
    cause,
  });
}
