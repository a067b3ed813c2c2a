import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { undiciHttp } from '../../src/host/adapters/undici-http.ts';
import { assembleImage, imageTree, readImage } from '../../src/oci/image.ts';
import { writeLayer } from '../../src/oci/layer.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { pullImage, pushImage } from '../../src/oci/registry-transfer.ts';
import { RegistryClient } from '../../src/oci/registry.ts';
import { diffTrees } from '../../src/oci/tree.ts';
import { startRegistry } from '../fixtures/docker-registry.ts';
import { scratchLayout, treeEntry } from '../fixtures/layouts.ts';
import { isMissing } from '../fixtures/needs.ts';

const folder = await mkdtemp(join(tmpdir(), 'kvci-registry-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

let problem: string | undefined;
const registry = await startRegistry(folder).catch((error: unknown) => {
  problem = `Debian's docker-registry cannot be had: ${String(error)}`;
  return undefined;
});

describe.skipIf(isMissing('docker-registry', problem))('a real registry', () => {
  afterAll(() => registry?.stop());

  it('takes an image and gives it back as it was', async () => {
    const [from, to] = [await scratchLayout(), await scratchLayout()];
    const layer = await writeLayer(from, [treeEntry('etc/'), treeEntry('etc/a', 'x'.repeat(3_000_000))], { compression: 'zstd', mtime: 0 });
    const image = await assembleImage(from, { layers: [layer], architecture: 'amd64', created: '2024-08-13T00:00:00Z', config: {} });
    const client = new RegistryClient({ http: undiciHttp({ offline: false }), credentials: () => Promise.resolve(undefined) });
    const reference = parseReference(`${registry?.host ?? ''}/org/node:1.31`);
    await expect(client.resolve(reference)).rejects.toMatchObject({ code: 'image-not-found' });
    await pushImage(client, from, image.descriptor, reference);
    expect(await client.resolve(reference)).toEqual(image.descriptor);
    await pullImage(client, to, reference, { architecture: 'amd64', refs: ['localhost/node:1.31'] });
    const pulled = await readImage(to, 'localhost/node:1.31');
    expect(pulled).toEqual(image);
    expect(diffTrees(await imageTree(from, image), await imageTree(to, pulled), { mtime: true })).toEqual({
      added: [],
      removed: [],
      changed: [],
    });
  });
});
