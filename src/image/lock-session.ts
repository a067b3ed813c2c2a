import { access, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type Digest, hexOf, sha256 } from '../core/digest.ts';
import { hasErrno, KvciError } from '../core/errors.ts';
import { asDiskFull, writeFileAtomic } from '../host/files.ts';
import type { Locks } from '../host/types.ts';
import type { PayloadLock } from '../payload/types.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import { EMPTY_LOCK, formatLock, type Lock, parseLock } from './lock.ts';

export interface LockSessionOptions {
  readonly path: string;
  /** Refuse instead of resolving what is missing. */
  readonly locked: boolean;
  /** Resolve everything anew: `kvci image lock --update`. */
  readonly update: boolean;
  readonly locks: Locks;
  /** A folder for the lock that guards the file while it is written; not beside it, where it would be committed. */
  readonly runtimeFolder: string;
}

/** A lock file in use: answers from what it holds, resolves and remembers what it lacks, writes once at the end. */
export class LockSession {
  readonly path: string;
  readonly #options: LockSessionOptions;
  #lock: Lock;
  #added = false;

  private constructor(options: LockSessionOptions, lock: Lock) {
    this.path = options.path;
    this.#options = options;
    this.#lock = lock;
  }

  /** @throws KvciError `lock-broken`, `lock-unreadable`, `lock-missing` (with `locked`) */
  static async open(options: LockSessionOptions): Promise<LockSession> {
    const text = await readIfThere(options.path);
    // Resolving takes long: a typing error in a path is told before it.
    if (text === undefined && !options.locked) await checkFolder(options.path);
    if (text === undefined && options.locked) {
      throw new KvciError('usage', 'lock-missing', `there is no ${options.path}, and --locked forbids to make one`, {
        hint: 'Run "kvci image lock" with the same options first.',
      });
    }
    return new LockSession(options, text === undefined ? EMPTY_LOCK : parseLock(text, options.path));
  }

  get current(): Lock {
    return this.#lock;
  }

  /** Everything is resolved anew. */
  get updating(): boolean {
    return this.#options.update;
  }

  /** The packages that the lock holds, unless they were resolved for other words. */
  heldPackages(key: string, wanted: readonly string[]): DebianPackageSet | undefined {
    const held = this.#options.update ? undefined : this.#lock.packages[key];
    return held !== undefined && sameWords(held.wanted, wanted) ? held : undefined;
  }

  async packages(key: string, wanted: readonly string[], resolve: () => Promise<DebianPackageSet>): Promise<DebianPackageSet> {
    const held = this.heldPackages(key, wanted);
    if (held !== undefined) return held;
    this.refuseIfLocked(`packages of ${key}`);
    const set = await resolve();
    this.#lock = { ...this.#lock, packages: { ...this.#lock.packages, [key]: set } };
    this.#added = true;
    return set;
  }

  async payload(key: string, resolve: () => Promise<PayloadLock>): Promise<PayloadLock> {
    const held = this.#options.update ? undefined : this.#lock.payloads[key];
    if (held !== undefined) return held;
    this.refuseIfLocked(`payload ${key}`);
    const payload = await resolve();
    this.#lock = { ...this.#lock, payloads: { ...this.#lock.payloads, [key]: payload } };
    this.#added = true;
    return payload;
  }

  async image(ref: string, resolve: () => Promise<Digest>): Promise<Digest> {
    const held = this.#options.update ? undefined : this.#lock.images[ref];
    if (held !== undefined) return held;
    this.refuseIfLocked(`digest of ${ref}`);
    const digest = await resolve();
    this.#lock = { ...this.#lock, images: { ...this.#lock.images, [ref]: digest } };
    this.#added = true;
    return digest;
  }

  /**
   * Writes what was added, keeping what another build added to the same file meanwhile.
   *
   * @throws KvciError `lock-unwritable`, `disk-full`
   */
  async save(): Promise<boolean> {
    if (!this.#added) return false;
    await using _held = await this.#options.locks.exclusive(
      join(this.#options.runtimeFolder, `lockfile-${hexOf(sha256(this.path)).slice(0, 16)}.lock`),
    );
    const text = await readIfThere(this.path);
    const onDisk = text === undefined ? EMPTY_LOCK : parseLock(text, this.path);
    this.#lock = {
      version: 1,
      packages: { ...onDisk.packages, ...this.#lock.packages },
      payloads: { ...onDisk.payloads, ...this.#lock.payloads },
      images: { ...onDisk.images, ...this.#lock.images },
    };
    try {
      await writeFileAtomic(this.path, formatLock(this.#lock));
    } catch (error) {
      if (hasErrno(error, ...UNUSABLE_PATH)) throw unusable('lock-unwritable', this.path, 'written', error);
      throw asDiskFull(error, this.path);
    }
    this.#added = false;
    return true;
  }

  /** @throws KvciError `lock-incomplete` with `locked` */
  refuseIfLocked(what: string): void {
    if (!this.#options.locked) return;
    throw new KvciError('usage', 'lock-incomplete', `${this.path} does not hold the ${what}, and --locked forbids to resolve it`, {
      hint: 'Run "kvci image lock" with the same options to add what is missing.',
      facts: { file: this.path, missing: what },
    });
  }
}

function sameWords(a: readonly string[], b: readonly string[]): boolean {
  const left = new Set(a);
  return left.size === new Set(b).size && b.every((word) => left.has(word));
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    if (hasErrno(error, ...UNUSABLE_PATH)) throw unusable('lock-unreadable', path, 'read', error);
    throw error;
  }
}

async function checkFolder(path: string): Promise<void> {
  try {
    await access(dirname(path));
  } catch (error) {
    if (hasErrno(error, ...UNUSABLE_PATH)) throw unusable('lock-unwritable', path, 'written', error);
    throw error;
  }
}

/** What comes of a path that a user gave, not of kvci. */
const UNUSABLE_PATH = ['ENOENT', 'EISDIR', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS', 'ELOOP', 'ENAMETOOLONG'] as const;

function unusable(code: string, path: string, done: 'read' | 'written', cause: NodeJS.ErrnoException): KvciError {
  return new KvciError('usage', code, `the lock file ${path} cannot be ${done} (${cause.code ?? 'unknown'})`, {
    hint: 'Name a file in a folder that exists and that you can write to with --lock.',
    facts: { file: path },
    cause,
  });
}
