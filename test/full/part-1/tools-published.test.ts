import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { runStep } from '../../../src/core/plan.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import { undiciHttp } from '../../../src/host/adapters/undici-http.ts';
import { createArtifactStore } from '../../../src/host/store/artifact-store.ts';
import { putBlob } from '../../../src/oci/blobs.ts';
import { compress, LAYER_MEDIA_TYPES } from '../../../src/oci/compression.ts';
import { assembleImage } from '../../../src/oci/image.ts';
import { describeLayer, writeLayer } from '../../../src/oci/layer.ts';
import { createLayout } from '../../../src/oci/layout.ts';
import { formatReference, parseReference } from '../../../src/oci/reference.ts';
import { pushImage } from '../../../src/oci/registry-transfer.ts';
import { RegistryClient } from '../../../src/oci/registry.ts';
import type { Layer } from '../../../src/oci/types.ts';
import { type PublishedParts, publishedToolsStep } from '../../../src/sandbox/tools-published.ts';
import { startRegistry } from '../../fixtures/docker-registry.ts';
import { treeEntry } from '../../fixtures/layouts.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { testSandboxes } from '../../fixtures/sandboxes.ts';
import { testKvci, toolsTree } from '../../fixtures/tools-tree.ts';

const folder = await mkdtemp(join(tmpdir(), 'kvci-published-'));
let problem: string | undefined;
const registry = await startRegistry(folder).catch((error: unknown) => {
  problem = `Debian's docker-registry cannot be had: ${String(error)}`;
  return undefined;
});

describe.skipIf(isMissing('docker-registry', problem))('a published tools image', () => {
  const client = new RegistryClient({ http: undiciHttp({ offline: false }), credentials: () => Promise.resolve(undefined) });
  let kvci: Awaited<ReturnType<typeof testKvci>>;

  beforeAll(async () => {
    kvci = await testKvci();
  });

  afterAll(async () => {
    await registry?.stop();
    await kvci.sandboxes.startOverHost({ name: 'clean-up', signal: kvci.run.signal }).then(async (box) => {
      await box.run(['rm', '-rf', '--', folder]);
      await box[Symbol.asyncDispose]();
    });
  });

  /** Publishes an image of these layers; answers what pulls it into a cache of its own. */
  const publish = async (name: string, layersIn: (layout: Awaited<ReturnType<typeof createLayout>>) => Promise<Layer[]>) => {
    const layoutTools = { tar: tarStreamTar, locks: kvci.locks };
    const layout = await createLayout(join(folder, name), layoutTools);
    const created = '2025-08-09T00:00:00Z';
    const { architecture } = kvci;
    const { descriptor } = await assembleImage(layout, { layers: await layersIn(layout), architecture, created, config: {} });
    const reference = parseReference(`${registry?.host ?? ''}/kvci/${name}:1`);
    await pushImage(client, layout, descriptor, reference);
    const parts: PublishedParts = {
      ...kvci,
      store: createArtifactStore({ directories: { cache: join(folder, `${name}-cache`) }, locks: kvci.locks, clock: kvci.run.clock }),
      layoutTools,
      registry: () => Promise.resolve(client),
      ref: formatReference({ ...reference, digest: descriptor.digest }),
      digest: descriptor.digest,
    };
    return parts;
  };

  it('is pulled by its digest, and sandboxes run over it', async () => {
    const parts = await publish('tools', async (layout) => {
      const tar = join(folder, 'tools.tar');
      await kvci.commands.run(['tar', '--create', `--file=${tar}`, `--directory=${await toolsTree()}`, '.']);
      const blob = await putBlob(layout, compress(createReadStream(tar), 'zstd', 1));
      await rm(tar);
      const tree = await describeLayer(layout, { mediaType: LAYER_MEDIA_TYPES.zstd, ...blob });
      const above = [
        treeEntry('etc/'),
        treeEntry('etc/kvci-published', 'yes\n'),
        treeEntry('usr/bin/.wh.haproxy'),
        treeEntry('.dockerenv'),
      ];
      return [tree, await writeLayer(layout, above, { compression: 'gzip', mtime: 0 })];
    });
    expect(await publishedToolsStep(parts).find()).toBeUndefined();
    const { tree, set } = await runStep(publishedToolsStep(parts), kvci.run);
    expect(set).toBeUndefined();
    expect(await readFile(join(tree, 'etc/kvci-published'), 'utf8')).toBe('yes\n');
    await expect(stat(join(tree, 'usr/bin/haproxy'))).rejects.toThrow('ENOENT');
    await expect(stat(join(tree, '.dockerenv'))).rejects.toThrow('ENOENT');
    const sandboxes = testSandboxes(tree, folder);
    await using box = await sandboxes.start({ name: 'published', binds: [], network: 'private', cgroups: false, signal: kvci.run.signal });
    expect((await box.run(['podman', '--version'])).stdout).toMatch(/^podman version 5/);

    // The second time no registry is asked.
    const offline = { ...parts, registry: () => Promise.reject(new Error('must not be asked')) };
    expect((await runStep(publishedToolsStep(offline), kvci.run)).tree).toBe(tree);
  });

  it('that lacks what kvci runs is refused by name, and nothing of it is kept', async () => {
    const parts = await publish('other', async (layout) => [
      await writeLayer(layout, [treeEntry('etc/'), treeEntry('etc/os-release', 'ID=other\n')], { compression: 'gzip', mtime: 0 }),
    ]);
    await expect(runStep(publishedToolsStep(parts), kvci.run)).rejects.toMatchObject({
      code: 'not-a-tools-image',
      message: expect.stringMatching(/kvci\/other:1@sha256:[0-9a-f]{64} is no tools image of this kvci: it lacks .*podman/) as string,
    });
    expect(await parts.store.list()).toEqual([]);
  });

  it('whose digest the registry does not have is an error, never another image', async () => {
    const parts = await publish('gone', async (layout) => [
      await writeLayer(layout, [treeEntry('etc/')], { compression: 'gzip', mtime: 0 }),
    ]);
    const gone = { ...parts, digest: `sha256:${'0'.repeat(64)}` } as const;
    await expect(runStep(publishedToolsStep(gone), kvci.run)).rejects.toMatchObject({ code: 'image-not-found' });
  });
});
