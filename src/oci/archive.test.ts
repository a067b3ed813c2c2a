import { execFileSync } from 'node:child_process';
import { createReadStream, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

import { layoutTools, scratchFolder, scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { hexOf, sha256 } from '../core/digest.ts';
import { loadArchive } from './archive-load.ts';
import { saveArchive } from './archive-save.ts';
import { assembleImage, type Image, imageTree, readImage, readImageAt } from './image.ts';
import { writeLayer } from './layer.ts';
import { type ImageLayout, openLayout } from './layout.ts';
import { listManifests } from './manifests.ts';
import { diffTrees } from './tree.ts';

async function sample(layout: ImageLayout): Promise<Image> {
  const layers = [
    await writeLayer(layout, [treeEntry('etc/'), treeEntry('etc/a', 'x'.repeat(300_000))], { compression: 'zstd', mtime: 0 }),
    await writeLayer(layout, [treeEntry('etc/.wh.a'), treeEntry('b', 'y')], { compression: 'zstd', mtime: 0 }),
  ];
  return assembleImage(layout, {
    layers,
    architecture: 'amd64',
    created: '2024-08-13T00:00:00Z',
    config: { Cmd: ['/b'] },
    refs: ['localhost/a:1'],
  });
}

/** Nothing of a refused archive may stay. */
function expectEmpty(layout: ImageLayout): void {
  expect(readdirSync(join(layout.path, 'blobs', 'sha256'))).toEqual([]);
  expect(readdirSync(join(layout.path, '.tmp'))).toEqual([]);
}

describe('saveArchive and loadArchive', () => {
  it.each(['as-is', 'gzip', 'none'] as const)('carry an image from layout to layout (layers %s)', async (layers) => {
    const [from, to] = [await scratchLayout(), await scratchLayout()];
    const image = await sample(from);
    const save = (): Promise<Buffer> => buffer(saveArchive(from, image.descriptor, { refs: ['localhost/a:1', 'localhost/a:2'], layers }));
    const archive = await save();
    expect((await save()).equals(archive)).toBe(true);
    expect(readdirSync(join(from.path, '.tmp'))).toEqual([]);
    const [loaded] = await loadArchive(to, Readable.from([archive]));
    const read = await readImage(to, 'localhost/a:2');
    expect(loaded?.descriptor.digest).toBe(read.descriptor.digest);
    expect(read.config).toEqual(image.config);
    expect(read.descriptor.digest === image.descriptor.digest).toBe(layers === 'as-is');
    expect((await listManifests(to)).map(({ refs }) => refs)).toEqual([['localhost/a:1', 'localhost/a:2']]);
    expect(diffTrees(await imageTree(from, image), await imageTree(to, read), { mtime: true })).toEqual({
      added: [],
      removed: [],
      changed: [],
    });
  });

  it('writes what GNU tar unpacks to a layout', async () => {
    const layout = await scratchLayout();
    const image = await sample(layout);
    const folder = scratchFolder();
    execFileSync('tar', ['-x', '-C', folder], {
      input: await buffer(saveArchive(layout, image.descriptor, { refs: ['localhost/a:1'], layers: 'as-is' })),
    });
    expect((await readImage(await openLayout(folder, layoutTools), 'localhost/a:1')).manifest).toEqual(image.manifest);
  });

  it('refuses an archive that was cut off anywhere, and leaves nothing', async () => {
    const from = await scratchLayout();
    const archive = await buffer(saveArchive(from, (await sample(from)).descriptor, { refs: ['localhost/a:1'], layers: 'none' }));
    const cuts = [0, 100, 512, 2000, archive.length >> 1, 302_000, archive.length - 4096, archive.length - 3072];
    for (const length of cuts) {
      const to = await scratchLayout();
      await expect(loadArchive(to, Readable.from([archive.subarray(0, length)])), `cut at ${length}`).rejects.toMatchObject({
        code: expect.stringMatching(/^(tar-damaged|archive-incomplete|not-an-archive)$/) as string,
      });
      expectEmpty(to);
    }
    const to = await scratchLayout();
    await expect(loadArchive(to, Readable.from([gzipSync(archive).subarray(0, 1000)]))).rejects.toMatchObject({ code: 'layer-damaged' });
    expectEmpty(to);
  });

  it('refuses a blob that is not what its name says', async () => {
    const from = await scratchLayout();
    const archive = await buffer(saveArchive(from, (await sample(from)).descriptor, { refs: [], layers: 'none' }));
    archive[archive.indexOf('xxxx') + 1000] = 0x7a;
    const to = await scratchLayout();
    await expect(loadArchive(to, Readable.from([archive]))).rejects.toMatchObject({ code: 'digest-mismatch' });
    expectEmpty(to);
  });
});

describe('loadArchive of a docker-archive', () => {
  const tar = (...entries: readonly ReturnType<typeof treeEntry>[]): Promise<Buffer> => buffer(layoutTools.tar.write(entries));

  async function dockerArchive(change: { readonly diffId?: string; readonly drop?: string } = {}): Promise<Readable> {
    const layer = await tar(treeEntry('a', 'content'));
    const upper = await tar(treeEntry('b', 'more'));
    const diffIds = [change.diffId ?? sha256(layer), sha256(upper), sha256(layer)];
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', config: null, rootfs: { type: 'layers', diff_ids: diffIds } });
    const name = `${hexOf(sha256(config))}.json`;
    const manifest = [{ Config: name, RepoTags: ['localhost/legacy:1'], Layers: ['1/layer.tar', '2/layer.tar', '3/layer.tar'] }];
    const bytes = (content: Buffer): Partial<ReturnType<typeof treeEntry>> => ({
      size: content.length,
      content: () => Readable.from([content]),
    });
    const entries = [
      treeEntry('1/'),
      treeEntry('1/layer.tar', '', bytes(layer)),
      treeEntry('2/layer.tar', '', bytes(gzipSync(upper))),
      treeEntry('3/layer.tar', '', { type: 'symlink', linkname: '../1/layer.tar' }),
      treeEntry(name, config),
      treeEntry('manifest.json', JSON.stringify(manifest)),
      treeEntry('repositories', '{}'),
    ].filter(({ path }) => path !== change.drop);
    return layoutTools.tar.write(entries);
  }

  it('reads layers that are linked or compressed and makes a manifest', async () => {
    const layout = await scratchLayout();
    const [loaded] = await loadArchive(layout, await dockerArchive());
    expect(loaded?.refs).toEqual(['localhost/legacy:1']);
    const image = await readImageAt(layout, loaded!.descriptor);
    expect(image.manifest.layers.map(({ mediaType }) => mediaType.replace(/.*v1\./, ''))).toEqual(['tar', 'tar+gzip', 'tar']);
    expect([...(await imageTree(layout, image)).nodes.keys()]).toEqual(['.', 'a', 'b']);
    const again = await scratchLayout();
    const [untagged] = await loadArchive(again, await dockerArchive(), { tag: false });
    expect(untagged?.descriptor).toEqual(loaded?.descriptor);
    expect((await listManifests(again)).map(({ refs }) => refs)).toEqual([[]]);
  });

  it.each([
    [{ diffId: sha256('other') }, 'digest-mismatch'],
    [{ drop: '2/layer.tar' }, 'archive-incomplete'],
    [{ drop: '1/layer.tar' }, 'archive-incomplete'],
    [{ drop: 'manifest.json' }, 'not-an-archive'],
  ])('refuses %j', async (change, code) => {
    const layout = await scratchLayout();
    await expect(loadArchive(layout, await dockerArchive(change))).rejects.toMatchObject({ code });
    expectEmpty(layout);
  });
});

describe('loadArchive of a tar by GNU tar', () => {
  it('reads an image whose layers GNU tar made', async () => {
    const folder = scratchFolder();
    mkdirSync(join(folder, 'root', 'd'), { recursive: true });
    writeFileSync(join(folder, 'root', 'd', 'with space'), 'x');
    execFileSync('ln', [join(folder, 'root', 'd', 'with space'), join(folder, 'root', 'd', 'hard')]);
    execFileSync('tar', ['-C', join(folder, 'root'), '-cf', join(folder, 'layer.tar'), '.']);
    const diffId = sha256(execFileSync('cat', [join(folder, 'layer.tar')]));
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diffId] } }),
    );
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: ['layer.tar'] }]));
    execFileSync('tar', ['-C', folder, '-cf', join(folder, 'image.tar'), './manifest.json', './config.json', './layer.tar']);
    const layout = await scratchLayout();
    const [loaded] = await loadArchive(layout, createReadStream(join(folder, 'image.tar')));
    const tree = await imageTree(layout, await readImageAt(layout, loaded!.descriptor));
    expect(tree.nodes.get('d/with space')).toMatchObject({ type: 'file', size: 1, links: ['d/hard', 'd/with space'], digest: sha256('x') });
  });
});
