import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { HostServiceParts } from '../cli/host-service.ts';
import type { CacheItem } from '../host/store/prune.ts';
import type { ImageLayout } from '../oci/layout.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import type { HostParts } from './host.ts';

/** What the cache holds beside artifacts. */
export async function cacheItems(host: HostParts, sandboxes: Sandboxes): Promise<readonly CacheItem[]> {
  const { engineStorage, removeEngineStorage } = await import('../sandbox/podman-storage.ts');
  const { removeNodeStorage } = await import('../sandbox/node-engine.ts');
  const parts = { ...host, sandboxes };
  const storages = [
    { name: 'engine', title: "layers of builds in kvci's own Podman", remove: () => removeEngineStorage(parts) },
    { name: 'nodes', title: 'images of nodes that are containers', remove: () => removeNodeStorage(parts) },
  ] as const;
  const items: CacheItem[] = [];
  for (const { name, title, remove } of storages) {
    const storage = await engineStorage(parts, name);
    if (storage !== undefined) items.push({ ...storage, kind: name, title, remove });
  }
  const { foldersOfVms } = await import('../machine/qemu/reaper.ts');
  const { runnableItems } = await import('../snapshot/cache-items.ts');
  const { SnapshotStore } = await import('../snapshot/store.ts');
  const snapshots = new SnapshotStore(host.directories);
  return [...items, ...(await runnableItems(snapshots, host.locks, () => foldersOfVms(host.directories, sandboxes)))];
}

/** The store, whose tools image stays while nodes run over it, and whose disks stay while machines are made of them. */
export function storeBesideNodes(host: HostParts, sandboxes: Sandboxes): HostParts['store'] {
  const { store } = host;
  return {
    find: (kind, key) => store.find(kind, key),
    make: (request) => store.make(request),
    list: () => store.list(),
    remove: (artifact) => store.remove(artifact),
    lastUsed: (artifact) => store.lastUsed(artifact),
    removeLeftovers: () => store.removeLeftovers(),
    removeUnused: async (artifact) => {
      const { nodeEngineTools } = await import('../sandbox/node-engine.ts');
      const { foldersOfVms } = await import('../machine/qemu/reaper.ts');
      const { localRegistry } = await import('./registry.ts');
      const { foldersOfSnapshots } = await import('../snapshot/reaper.ts');
      const { SnapshotStore } = await import('../snapshot/store.ts');
      const tools = await Promise.all([nodeEngineTools({ ...host, sandboxes }), localRegistry(host, sandboxes).tools()]);
      const used = [
        ...tools.filter((path) => path !== undefined),
        ...(await foldersOfVms(host.directories, sandboxes)),
        ...(await foldersOfSnapshots(new SnapshotStore(host.directories))),
      ];
      return used.some((path) => `${path}/`.startsWith(`${artifact.path}/`)) ? false : store.removeUnused(artifact);
    },
  };
}

/** Nothing is made where no image ever was. */
export function imageStore({ directories, locks }: HostParts): HostServiceParts['images'] {
  const path = join(directories.cache, 'images');
  const open = async (): Promise<ImageLayout | undefined> => {
    if (!existsSync(path)) return undefined;
    const { createLayout } = await import('../oci/layout.ts');
    const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
    return createLayout(path, { tar: tarStreamTar, locks });
  };
  return {
    size: async () => {
      const { diskUse } = await import('../host/files.ts');
      return existsSync(path) ? diskUse(path) : 0;
    },
    collectGarbage: async (now) => {
      const layout = await open();
      if (layout === undefined) return { removed: 0, bytes: 0 };
      const { removeUnusedBlobs } = await import('../image/images.ts');
      return removeUnusedBlobs(layout, now);
    },
  };
}
