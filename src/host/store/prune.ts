import type { Digest } from '../../core/digest.ts';
import { throwIfCancelled } from '../../core/errors.ts';
import type { PrunableStore } from './artifact-store.ts';

/** Something of the cache that goes as a whole: an artifact, the storage of the engine that kvci starts. */
export interface CacheItem {
  readonly kind: string;
  /** Of an artifact. */
  readonly key?: Digest;
  /** For people. */
  readonly title: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly lastUsed: number;
  /** ISO 8601, where it was made at one time. */
  readonly madeAt?: string;
  /** Answers false when another kvci makes or uses it. */
  remove(): Promise<boolean>;
}

/** The artifacts of a store. */
export async function storedItems(store: PrunableStore): Promise<CacheItem[]> {
  return Promise.all(
    (await store.list()).map(async (artifact) => ({
      kind: artifact.kind,
      key: artifact.key,
      title: artifact.record.title,
      size: artifact.record.size,
      madeAt: artifact.record.madeAt,
      lastUsed: await store.lastUsed(artifact),
      remove: () => store.removeUnused(artifact),
    })),
  );
}

export interface PruneResult {
  readonly removed: readonly CacheItem[];
  /** Would have been removed, but another kvci makes or uses them. */
  readonly inUse: readonly CacheItem[];
  /** Bytes of all that is left. */
  readonly size: number;
}

/** Removes the least recently used until at most `keep` bytes are left. */
export async function pruneItems(items: readonly CacheItem[], keep: number, signal?: AbortSignal): Promise<PruneResult> {
  const removed: CacheItem[] = [];
  const inUse: CacheItem[] = [];
  let size = totalSize(items);
  for (const item of items.toSorted((a, b) => a.lastUsed - b.lastUsed)) {
    if (size <= keep) break;
    throwIfCancelled(signal);
    if (await item.remove()) {
      removed.push(item);
      size -= item.size;
    } else {
      inUse.push(item);
    }
  }
  return { removed, inUse, size };
}

export function totalSize(items: readonly CacheItem[]): number {
  return items.reduce((sum, { size }) => sum + size, 0);
}
