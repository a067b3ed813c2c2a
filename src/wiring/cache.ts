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
  const parts = { ...host, sandboxes };
  const storage = await engineStorage(parts);
  if (storage === undefined) return [];
  return [{ ...storage, kind: 'engine', title: "layers of builds in kvci's own Podman", remove: () => removeEngineStorage(parts) }];
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
