import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { layoutTools, scratchFolder, scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { sha256 } from '../core/digest.ts';
import { blobPath, putBlob } from './blobs.ts';
import { collectGarbage, copyImage, reachableBlobs } from './copy.ts';
import { assembleImage, choosePlatform, followPath, type Image, imageTree, layersAbove, readFile, readFiles, readImage } from './image.ts';
import { writeLayer } from './layer.ts';
import { type ImageLayout, openLayout } from './layout.ts';
import { findManifest, listManifests, putManifest, removeManifest, tagManifest, untagManifest } from './manifests.ts';
import { type Layer, MEDIA_TYPES, type TreeEntryWithContent } from './types.ts';

async function layer(layout: ImageLayout, ...entries: readonly TreeEntryWithContent[]): Promise<Layer> {
  return writeLayer(layout, entries, { compression: 'zstd', mtime: 0 });
}

async function image(layout: ImageLayout, layers: readonly Layer[], refs: readonly string[] = []): Promise<Image> {
  const labels = { z: '1', 'containers.bootc': '1' };
  return assembleImage(layout, {
    layers,
    architecture: 'amd64',
    created: '2024-08-13T00:00:00Z',
    config: { Labels: labels, Cmd: ['/sbin/init'] },
    refs,
  });
}

describe('assembleImage and readImage', () => {
  it('gives the same digest for the same plan and reads it back by digest and by name', async () => {
    const [a, b] = [await scratchLayout(), await scratchLayout()];
    const one = await image(a, [await layer(a, treeEntry('x', '1'))], ['localhost/x:1']);
    const two = await image(b, [await layer(b, treeEntry('x', '1', { mtime: 77 }))]);
    expect(two.descriptor.digest).toBe(one.descriptor.digest);
    expect(await readImage(a, one.descriptor.digest)).toMatchObject({ manifest: one.manifest, config: one.config });
    expect((await readImage(a, 'localhost/x:1')).descriptor.digest).toBe(one.descriptor.digest);
    await expect(readImage(b, 'localhost/x:1')).rejects.toMatchObject({ code: 'image-not-found' });
  });

  it('tells an image whose config was changed on disk', async () => {
    const layout = await scratchLayout();
    const { descriptor, manifest } = await image(layout, []);
    writeFileSync(blobPath(layout, manifest.config.digest), '{}');
    await expect(readImage(layout, descriptor.digest)).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  it('takes the null of Go for absent, and names what is malformed', async () => {
    const layout = await scratchLayout();
    const put = async (config: unknown): Promise<string> => {
      const blob = await putBlob(layout, Buffer.from(JSON.stringify(config)));
      const written = {
        schemaVersion: 2 as const,
        mediaType: MEDIA_TYPES.manifest,
        config: { mediaType: MEDIA_TYPES.config, ...blob },
        layers: [],
      };
      return (await putManifest(layout, written)).digest;
    };
    const engine = {
      architecture: 'amd64',
      os: 'linux',
      config: { Entrypoint: null, Labels: null },
      rootfs: { type: 'layers', diff_ids: null },
    };
    expect((await readImage(layout, await put(engine))).config).toMatchObject({
      rootfs: { diff_ids: [] },
      config: { Entrypoint: undefined },
    });
    await expect(readImage(layout, await put({ ...engine, os: 7 }))).rejects.toMatchObject({
      code: 'oci-malformed',
      message: expect.stringContaining('os') as string,
    });
    const odd = { ...engine, rootfs: { type: 'layers', diff_ids: [sha256('x')] } };
    await expect(readImage(layout, await put(odd))).rejects.toMatchObject({ code: 'oci-malformed' });
  });

  it('takes the layers over a base only when the image stands on it', async () => {
    const layout = await scratchLayout();
    const layers = [await layer(layout, treeEntry('a')), await layer(layout, treeEntry('b')), await layer(layout, treeEntry('c'))];
    const built = await image(layout, layers);
    expect(layersAbove([layers[0]!.diffId], built)).toEqual(layers.slice(1));
    expect(() => layersAbove([layers[1]!.diffId], built)).toThrow(expect.objectContaining({ code: 'base-differs' }));
  });
});

describe('choosePlatform', () => {
  const entry = (architecture: string): Parameters<typeof choosePlatform>[0][number] => ({
    mediaType: MEDIA_TYPES.manifest,
    digest: sha256(architecture),
    size: 1,
    platform: { architecture, os: architecture === 'unknown' ? 'unknown' : 'linux' },
  });

  it.each([
    [['amd64', 'arm64'], 'arm64', 'arm64'],
    [['amd64', 'unknown'], undefined, 'amd64'],
    [['amd64'], 'arm64', undefined],
    [['amd64', 'arm64'], undefined, undefined],
    [[], 'amd64', undefined],
  ])('of %j takes for %s: %s', (has, wanted, chosen) => {
    const choose = (): unknown => choosePlatform(has.map(entry), wanted, sha256('index')).platform?.architecture;
    if (chosen === undefined) expect(choose).toThrow(expect.objectContaining({ code: 'platform-missing' }));
    else expect(choose()).toBe(chosen);
  });
});

describe('contents', () => {
  it('reads a file of many pieces to its end', async () => {
    const layout = await scratchLayout();
    const text = 'kvci'.repeat(1_000_000);
    const tree = await imageTree(layout, await image(layout, [await layer(layout, treeEntry('long', text), treeEntry('next', 'x'))]));
    expect((await readFile(layout, tree, 'long'))?.length).toBe(text.length);
  });

  it('reads files of the merged tree, symlinks and hard links followed', async () => {
    const layout = await scratchLayout();
    const built = await image(layout, [
      await layer(
        layout,
        treeEntry('usr/lib/os-release', 'old'),
        treeEntry('etc/', ''),
        treeEntry('etc/gone', 'x'),
        treeEntry('usr/bin/a', 'tool'),
      ),
      await layer(
        layout,
        treeEntry('etc/os-release', '', { type: 'symlink', linkname: '../usr/lib/os-release' }),
        treeEntry('usr/lib/os-release', 'new'),
        treeEntry('etc/.wh.gone'),
        treeEntry('lib', '', { type: 'symlink', linkname: '/usr/lib' }),
        treeEntry('loop', '', { type: 'symlink', linkname: 'loop' }),
        treeEntry('usr/bin/b', '', { type: 'hardlink', linkname: 'usr/bin/a' }),
      ),
    ]);
    const tree = await imageTree(layout, built);
    expect(String(await readFile(layout, tree, '/etc/os-release'))).toBe('new');
    expect(String(await readFile(layout, tree, 'lib/os-release'))).toBe('new');
    expect(String(await readFile(layout, tree, 'usr/bin/b'))).toBe('tool');
    for (const path of ['etc/gone', 'etc', 'loop', 'usr/bin/a/b', 'nowhere/x']) expect(await readFile(layout, tree, path)).toBeUndefined();
    expect(followPath(tree, 'lib')?.path).toBe('usr/lib');
    const found = [];
    for await (const { node, content } of readFiles(layout, tree, ({ path }) => path.startsWith('usr/'))) {
      content().resume();
      found.push([node.path, node.source?.layer]);
    }
    expect(found).toEqual([
      ['usr/bin/a', 0],
      ['usr/lib/os-release', 1],
    ]);
  });
});

describe('the index', () => {
  it('moves, takes away and lists names', async () => {
    const layout = await scratchLayout();
    const one = (await image(layout, [], ['a:1', 'a:latest'])).descriptor;
    const two = (await image(layout, [await layer(layout, treeEntry('x'))], ['a:latest'])).descriptor;
    const names = async (): Promise<unknown> => (await listManifests(layout)).map(({ descriptor, refs }) => [descriptor.digest, refs]);
    expect(await names()).toEqual([
      [one.digest, ['a:1']],
      [two.digest, ['a:latest']],
    ]);
    await tagManifest(layout, one.digest, 'b:1');
    await untagManifest(layout, 'a:1');
    expect(await names()).toEqual([
      [two.digest, ['a:latest']],
      [one.digest, ['b:1']],
    ]);
    await untagManifest(layout, 'b:1');
    expect(await names()).toEqual([
      [two.digest, ['a:latest']],
      [one.digest, []],
    ]);
    expect(await findManifest(layout, 'b:1')).toBeUndefined();
    expect((await findManifest(layout, one.digest))?.digest).toBe(one.digest);
    await removeManifest(layout, one.digest);
    expect(await names()).toEqual([[two.digest, ['a:latest']]]);
    await expect(untagManifest(layout, 'b:1')).rejects.toMatchObject({ code: 'image-not-found' });
  });

  it('loses no name when several processes write at once', async () => {
    const layout = await scratchLayout();
    const { descriptor } = await image(layout, []);
    const script = join(import.meta.dirname, '..', '..', 'test', 'fixtures', 'tag-images.ts');
    const writers = ['a', 'b', 'c'].map((name) =>
      spawn(process.execPath, [script, layout.path, descriptor.digest, name, '20'], { stdio: 'inherit' }),
    );
    expect(await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0] as unknown))).toEqual([0, 0, 0]);
    const [listed] = await listManifests(layout);
    expect(listed?.refs.toSorted()).toEqual(
      ['a', 'b', 'c'].flatMap((name) => Array.from({ length: 20 }, (_, index) => `${name}:${index}`)).toSorted(),
    );
  });

  it('refuses a folder that is no layout', async () => {
    await expect(openLayout(scratchFolder(), layoutTools)).rejects.toMatchObject({ code: 'not-a-layout' });
  });
});

describe('copyImage and collectGarbage', () => {
  it('copies by hard links, whole and verified', async () => {
    const [from, to] = [await scratchLayout(), await scratchLayout()];
    const { descriptor, manifest } = await image(from, [await layer(from, treeEntry('x', 'content'))]);
    await copyImage(from, to, descriptor, ['x:1']);
    expect((await readImage(to, 'x:1')).manifest).toEqual(manifest);
    for (const { digest } of await reachableBlobs(to, descriptor)) expect(statSync(blobPath(to, digest)).nlink).toBe(2);
    const missing = manifest.layers[0]!.digest;
    rmSync(blobPath(from, missing));
    await expect(copyImage(from, await scratchLayout(), descriptor)).rejects.toMatchObject({ code: 'blob-missing' });
  });

  it('removes what nothing leads to, unless it is young', async () => {
    const layout = await scratchLayout();
    const kept = await image(layout, [await layer(layout, treeEntry('x'))], ['x:1']);
    const gone = await image(layout, [await layer(layout, treeEntry('y'))], ['y:1']);
    const stray = await putBlob(layout, Buffer.from('stray'));
    writeFileSync(join(layout.path, '.tmp', 'killed'), 'half');
    await removeManifest(layout, gone.descriptor.digest);
    expect(await collectGarbage(layout, new Date(0))).toEqual({ removed: 0, bytes: 0 });
    const later = new Date(Date.now() + 60_000);
    utimesSync(blobPath(layout, stray.digest), later, later);
    const { removed } = await collectGarbage(layout, new Date(Date.now() + 30_000));
    expect(removed).toBe(4);
    expect(existsSync(blobPath(layout, stray.digest))).toBe(true);
    expect(readdirSync(join(layout.path, '.tmp'))).toEqual([]);
    expect(await reachableBlobs(layout, kept.descriptor)).toHaveLength(3);
    expect((await readImage(layout, 'x:1')).manifest).toEqual(kept.manifest);
  });
});
