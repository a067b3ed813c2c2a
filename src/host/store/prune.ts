import { throwIfCancelled } from '../../core/errors.ts';
import type { Artifact } from '../types.ts';
import type { PrunableStore } from './artifact-store.ts';

export interface KindUse {
  readonly kind: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Least recently used first. */
  readonly artifacts: readonly StoredArtifact[];
}

export interface StoredArtifact {
  readonly artifact: Artifact;
  /** ISO 8601. */
  readonly lastUsed: string;
}

export interface CacheUse {
  readonly size: number;
  /** The largest first. */
  readonly kinds: readonly KindUse[];
}

/** What the store holds: `kvci cache list`. */
export async function cacheUse(store: PrunableStore): Promise<CacheUse> {
  const stored = await leastRecentlyUsedFirst(store);
  const kinds = [...Map.groupBy(stored, ({ artifact }) => artifact.kind)]
    .map(([kind, artifacts]) => ({ kind, size: totalSize(artifacts), artifacts }))
    .toSorted((a, b) => b.size - a.size);
  return { size: totalSize(stored), kinds };
}

export interface PruneResult {
  readonly removed: readonly Artifact[];
  /** Would have been removed, but another kvci makes or uses them. */
  readonly inUse: readonly Artifact[];
  /** Folders of killed processes. */
  readonly leftovers: readonly string[];
  /** Bytes that the store still holds. */
  readonly size: number;
}

/** Removes what killed processes left, then the least recently used artifacts until the store holds at most `keep` bytes. */
export async function pruneCache(store: PrunableStore, keep: number, signal?: AbortSignal): Promise<PruneResult> {
  const leftovers = await store.removeLeftovers();
  const removed: Artifact[] = [];
  const inUse: Artifact[] = [];
  const stored = await leastRecentlyUsedFirst(store);
  let size = totalSize(stored);
  for (const { artifact } of stored) {
    if (size <= keep) break;
    throwIfCancelled(signal);
    if (await store.removeUnused(artifact)) {
      removed.push(artifact);
      size -= artifact.record.size;
    } else {
      inUse.push(artifact);
    }
  }
  return { removed, inUse, leftovers, size };
}

async function leastRecentlyUsedFirst(store: PrunableStore): Promise<StoredArtifact[]> {
  const stored = await Promise.all((await store.list()).map(async (artifact) => ({ artifact, used: await store.lastUsed(artifact) })));
  return stored.toSorted((a, b) => a.used - b.used).map(({ artifact, used }) => ({ artifact, lastUsed: new Date(used).toISOString() }));
}

function totalSize(stored: readonly StoredArtifact[]): number {
  return stored.reduce((sum, { artifact }) => sum + artifact.record.size, 0);
}
