import { chmod, mkdir, readdir, readFile, rename, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';

import type { Clock } from '../../core/clock.ts';
import { type Digest, hexOf, isDigest } from '../../core/digest.ts';
import { digestSchema } from '../../core/digest-schema.ts';
import { hasErrno, KvciError, throwIfCancelled } from '../../core/errors.ts';
import { asDiskFull, diskUse, removeTree, writeFileAtomic } from '../files.ts';
import type { Artifact, ArtifactRecord, ArtifactStore, Directories, Locks, MakeRequest } from '../types.ts';

const RECORD = 'record.json';

/** Suffix of a folder that is being made or removed; its owner holds the make lock of the key. */
const PARTIAL = '.partial';

const KIND = /^[a-z0-9][a-z0-9-]*$/;

const recordSchema: z.ZodType<ArtifactRecord> = z.object({
  version: z.literal(1),
  kind: z.string(),
  key: digestSchema,
  inputs: z.unknown(),
  title: z.string(),
  madeAt: z.string(),
  size: z.number(),
  facts: z.unknown(),
});

export interface StoreParts {
  readonly directories: Pick<Directories, 'cache'>;
  readonly locks: Locks;
  readonly clock: Clock;
  /** Removes a folder; differs from `rm -rf` where trees hold files of mapped user ids. */
  readonly removeTree?: (path: string) => Promise<void>;
}

/**
 * Artifacts in `<cache>/artifacts/<kind>/<hex of key>`, each with its `record.json`.
 *
 * Two locks a key: *make* is held by who makes or removes it, so whoever wants the same waits and then finds it; *use* is
 * shared by all processes that found it, until they end, so that none is pruned under its users. A folder that is not
 * finished is called `<hex>.partial`; when its make lock is free, its maker is dead and anybody may remove it.
 */
export function createArtifactStore(parts: StoreParts): PrunableStore {
  return new FolderStore(parts);
}

/** What pruning needs beyond the store that everyone uses. */
export interface PrunableStore extends ArtifactStore {
  /** When the artifact was last found or made, in milliseconds since the epoch; 0 when it is gone. */
  lastUsed(artifact: Artifact): Promise<number>;
  /** Removes it unless another process makes or uses it. */
  removeUnused(artifact: Artifact): Promise<boolean>;
  /** Removes what killed processes left half made; answers the paths. */
  removeLeftovers(): Promise<readonly string[]>;
}

class FolderStore implements PrunableStore {
  readonly #root: string;
  readonly #lockRoot: string;
  readonly #locks: Locks;
  readonly #clock: Clock;
  readonly #removeTree: (path: string) => Promise<void>;
  /** Use locks of this process by artifact path. */
  readonly #uses = new Map<string, Promise<AsyncDisposable>>();

  constructor(parts: StoreParts) {
    this.#root = join(parts.directories.cache, 'artifacts');
    this.#lockRoot = join(parts.directories.cache, 'locks');
    this.#locks = parts.locks;
    this.#clock = parts.clock;
    this.#removeTree = parts.removeTree ?? removeTree;
  }

  async find(kind: string, key: Digest): Promise<Artifact | undefined> {
    const path = this.#path(kind, key);
    if ((await readRecord(path, kind, key)) === undefined) return undefined;
    await this.#use(kind, key, path);
    // Only now nobody can remove it any more.
    const record = await readRecord(path, kind, key);
    if (record === undefined) {
      await this.#unuse(path);
      return undefined;
    }
    const now = this.#clock.now() / 1000;
    await utimes(join(path, RECORD), now, now);
    return { kind, key, path, record };
  }

  async make(request: MakeRequest): Promise<Artifact> {
    const path = this.#path(request.kind, request.key);
    try {
      await mkdir(dirname(path), { recursive: true });
      const lock = await this.#locks.exclusive(this.#makeLock(request.kind, request.key), {
        ...(request.signal === undefined ? {} : { signal: request.signal }),
        ...(request.onWait === undefined ? {} : { onWait: request.onWait }),
      });
      try {
        const found = await this.find(request.kind, request.key);
        if (found !== undefined) return found;
        await this.#fill(request, path);
        const made = await this.find(request.kind, request.key);
        if (made === undefined) throw new KvciError('bug', 'artifact-lost', `${path} is gone right after it was made`);
        return made;
      } finally {
        await lock[Symbol.asyncDispose]();
      }
    } catch (error) {
      throw asDiskFull(error, path);
    }
  }

  /** Builds under a temp name and renames. The make lock is held. */
  async #fill(request: MakeRequest, path: string): Promise<void> {
    const partial = `${path}${PARTIAL}`;
    await this.#discard(path);
    try {
      await mkdir(partial);
      // Modes inside the store do not depend on the umask: they end up in images.
      await chmod(partial, 0o755);
      const facts = await request.build(partial);
      throwIfCancelled(request.signal);
      const record: ArtifactRecord = {
        version: 1,
        kind: request.kind,
        key: request.key,
        inputs: request.inputs,
        title: request.title,
        madeAt: new Date(this.#clock.now()).toISOString(),
        size: await diskUse(partial),
        facts: facts ?? null,
      };
      await writeFileAtomic(join(partial, RECORD), `${JSON.stringify(record, undefined, 2)}\n`);
      await rename(partial, path);
    } catch (error) {
      // The reason of the failure matters more than that of a failed clean-up; the next run or prune cleans up again.
      await this.#removeTree(partial).catch(() => undefined);
      throw error;
    }
  }

  async list(): Promise<readonly Artifact[]> {
    const artifacts: Artifact[] = [];
    for (const { kind, name, path } of await this.#folders()) {
      const key = `sha256:${name}` as const;
      const record = isDigest(key) ? await readRecord(path, kind, key) : undefined;
      if (record !== undefined) artifacts.push({ kind, key, path, record });
    }
    return artifacts;
  }

  async remove(artifact: Artifact): Promise<void> {
    if (await this.removeUnused(artifact)) return;
    throw new KvciError('failed', 'artifact-in-use', `${artifact.record.title} is in use by another kvci`, {
      hint: 'Wait until it has ended, then run the command again.',
      facts: { kind: artifact.kind, key: artifact.key },
    });
  }

  async lastUsed(artifact: Artifact): Promise<number> {
    try {
      return (await stat(join(artifact.path, RECORD))).mtimeMs;
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return 0;
      throw error;
    }
  }

  async removeUnused({ kind, key, path }: Artifact): Promise<boolean> {
    await using make = await this.#locks.tryExclusive(this.#makeLock(kind, key));
    if (make === undefined) return false;
    await this.#unuse(path);
    await using use = await this.#locks.tryExclusive(this.#useLock(kind, key));
    if (use === undefined) return false;
    await this.#discard(path);
    return true;
  }

  async removeLeftovers(): Promise<readonly string[]> {
    const removed: string[] = [];
    for (const { kind, name, path } of await this.#folders()) {
      if (!name.endsWith(PARTIAL)) continue;
      const key = `sha256:${name.slice(0, -PARTIAL.length)}` as const;
      if (!isDigest(key)) continue;
      await using make = await this.#locks.tryExclusive(this.#makeLock(kind, key));
      if (make === undefined) continue;
      await this.#removeTree(path);
      removed.push(path);
    }
    return removed;
  }

  #path(kind: string, key: Digest): string {
    if (!KIND.test(kind)) throw new KvciError('bug', 'bad-kind', `"${kind}" is not an artifact kind`);
    return join(this.#root, kind, hexOf(key));
  }

  #makeLock(kind: string, key: Digest): string {
    return join(this.#lockRoot, `${kind}-${hexOf(key)}.make`);
  }

  #useLock(kind: string, key: Digest): string {
    return join(this.#lockRoot, `${kind}-${hexOf(key)}.use`);
  }

  async #use(kind: string, key: Digest, path: string): Promise<void> {
    let use = this.#uses.get(path);
    if (use === undefined) {
      use = this.#locks.shared(this.#useLock(kind, key));
      this.#uses.set(path, use);
    }
    try {
      await use;
    } catch (error) {
      this.#uses.delete(path);
      throw error;
    }
  }

  async #unuse(path: string): Promise<void> {
    const use = this.#uses.get(path);
    this.#uses.delete(path);
    await (await use)?.[Symbol.asyncDispose]();
  }

  /** Takes the final name away first, so that a kill half-way leaves no broken artifact. Its make lock is held. */
  async #discard(path: string): Promise<void> {
    const partial = `${path}${PARTIAL}`;
    await this.#removeTree(partial);
    try {
      await rename(path, partial);
    } catch (error) {
      if (hasErrno(error, 'ENOENT')) return;
      throw error;
    }
    await this.#removeTree(partial);
  }

  async #folders(): Promise<{ readonly kind: string; readonly name: string; readonly path: string }[]> {
    const kinds = (await names(this.#root)).filter((kind) => KIND.test(kind));
    const folders = await Promise.all(
      kinds.map(async (kind) => (await names(join(this.#root, kind))).map((name) => ({ kind, name, path: join(this.#root, kind, name) }))),
    );
    return folders.flat();
  }
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).toSorted();
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** The record if there is one and it is that of this kind and key. */
async function readRecord(path: string, kind: string, key: Digest): Promise<ArtifactRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(path, RECORD), 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  const record = parseRecord(text);
  return record?.kind === kind && record.key === key ? record : undefined;
}

function parseRecord(text: string): ArtifactRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
