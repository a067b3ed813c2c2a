import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { Clock } from '../core/clock.ts';
import { cancelled, hasErrno, messageOf } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { parseRuns, type RecordedRun, type RecordLine, type RunHead, type RunStatus } from '../core/recorded-run.ts';
import { maskKnownSecrets } from '../core/secret-patterns.ts';
import { removeTree } from './files.ts';
import type { Directories } from './types.ts';

/** How many runs that have no other place are kept. */
const KEPT_RUNS = 20;

/** A file of events that has grown beyond this many bytes is put aside when the next run begins: at most twice that is kept. */
const LARGE = 8 * 1024 * 1024;

const FILE = 'events.ndjson';

/**
 * Keeps the events of runs in files, a JSON object a line with its time, secrets masked: of a cluster's runs in its folder, of
 * others in `<state>/runs`, the newest few.
 */
export class RunRecords {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #sinks: Set<EventSink>;

  /** @param sinks where all events of this process go */
  constructor(directories: Pick<Directories, 'state'>, clock: Clock, sinks: Set<EventSink>) {
    this.#folder = join(directories.state, 'runs');
    this.#clock = clock;
    this.#sinks = sinks;
  }

  /** Does some work and keeps its events at the end of a file. */
  async during<T>(path: string, head: RunHead, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await putLargeAside(path);
    const file = openSync(path, 'a', 0o600);
    const write = (line: RecordLine): void => {
      // Never throws: a full disk is told by what matters more.
      try {
        writeSync(file, `${maskLine(line)}\n`);
      } catch {
        this.#sinks.delete(sink);
      }
    };
    const sink: EventSink = (event) => {
      write({ at: this.#clock.now(), ...event });
    };
    const end = (status: RunStatus, message?: string): void => {
      write({ at: this.#clock.now(), type: 'run.end', status, ...(message === undefined ? {} : { message }) });
    };
    write({ at: this.#clock.now(), type: 'run.start', ...head });
    this.#sinks.add(sink);
    try {
      const result = await work();
      end('done');
      return result;
    } catch (error) {
      if (signal.aborted) end('cancelled', cancelled(signal).message);
      else end('failed', messageOf(error));
      throw error;
    } finally {
      this.#sinks.delete(sink);
      closeSync(file);
    }
  }

  /** As {@link during}, for a run that has no place of its own. `boring` says of a result that nobody will ask how it came about. */
  async newRun<T>(head: RunHead, signal: AbortSignal, work: () => Promise<T>, boring: (result: T) => boolean): Promise<T> {
    const folder = join(this.#folder, this.#id(head));
    try {
      const result = await this.during(join(folder, FILE), head, signal, work);
      if (boring(result)) await removeTree(folder);
      return result;
    } finally {
      await this.#prune();
    }
  }

  /** Keeps a file of events whose own place goes. */
  async keep(path: string, head: RunHead): Promise<void> {
    const folder = join(this.#folder, this.#id(head));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      await rename(path, join(folder, FILE));
    } catch (error) {
      await removeTree(folder);
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
    await this.#prune();
  }

  /** Names of the runs in `<state>/runs`, oldest first. */
  async names(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#folder)).toSorted();
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** The runs of one of {@link names}. */
  async read(name: string): Promise<readonly RecordedRun[]> {
    return readRuns(join(this.#folder, name, FILE));
  }

  #id({ command, subject }: RunHead): string {
    const time = new Date(this.#clock.now()).toISOString().replaceAll(/[-:]|\.\d+Z/g, '');
    return [time, command, subject].join('-').replaceAll(/[^A-Za-z0-9.]+/g, '-');
  }

  async #prune(): Promise<void> {
    const old = (await this.names()).slice(0, -KEPT_RUNS);
    await Promise.all(old.map((name) => removeTree(join(this.#folder, name))));
  }
}

/** The runs of a file of events, oldest first; none where there is no file. */
export async function readRuns(path: string): Promise<readonly RecordedRun[]> {
  try {
    return parseRuns(await readFile(path, 'utf8'));
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Texts are masked before they are quoted: a quoted newline would hide a key's end. */
function maskLine(line: RecordLine): string {
  return JSON.stringify(line, (_key, value: unknown) => (typeof value === 'string' ? maskKnownSecrets(value) : value));
}

async function putLargeAside(path: string): Promise<void> {
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size > LARGE) await rename(path, `${path}.old`);
}
