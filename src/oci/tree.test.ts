import { describe, expect, it } from 'vitest';

import { scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { sha256 } from '../core/digest.ts';
import { putBlob } from './blobs.ts';
import { changesAbove, flattenAbove } from './flatten.ts';
import { splitLayers } from './layer-rules.ts';
import { readLayer, writeLayer } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import { diffTrees, readTree, type Tree } from './tree.ts';
import type { Descriptor, TreeEntryWithContent } from './types.ts';

const MTIME = 2_000_000_000;

type Layers = readonly (readonly TreeEntryWithContent[])[];

async function descriptorsOf(layout: ImageLayout, layers: Layers): Promise<Descriptor[]> {
  const written = [];
  for (const entries of layers) {
    // As an engine writes it: in the order given, not in canonical order.
    written.push({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...(await putBlob(layout, layout.tar.write(entries))) });
  }
  return written;
}

async function treeOf(layout: ImageLayout, ...layers: Layers): Promise<Tree> {
  return readTree(layout, await descriptorsOf(layout, layers));
}

const link = (path: string, linkname: string): TreeEntryWithContent => treeEntry(path, '', { type: 'hardlink', linkname });
const symlink = (path: string, linkname: string): TreeEntryWithContent => treeEntry(path, '', { type: 'symlink', linkname, mode: 0o777 });

const CASES: readonly { readonly name: string; readonly layers: Layers; readonly paths: readonly string[] }[] = [
  { name: 'no layer', layers: [], paths: ['.'] },
  { name: 'folders that no entry names', layers: [[treeEntry('a/b/c')]], paths: ['.', 'a', 'a/b', 'a/b/c'] },
  { name: 'a whiteout of a file', layers: [[treeEntry('a'), treeEntry('b')], [treeEntry('.wh.a')]], paths: ['.', 'b'] },
  {
    name: 'a whiteout of a folder with all below, but not of its namesake prefix',
    layers: [[treeEntry('d/'), treeEntry('d/e/f'), treeEntry('d-e')], [treeEntry('.wh.d')]],
    paths: ['.', 'd-e'],
  },
  {
    name: 'a whiteout beside its own new entry',
    layers: [[treeEntry('a/x')], [treeEntry('a/y'), treeEntry('.wh.a')]],
    paths: ['.', 'a', 'a/y'],
  },
  {
    name: 'an opaque folder, its marker behind its new entries',
    layers: [
      [treeEntry('d/old/deep'), treeEntry('k')],
      [treeEntry('d/'), treeEntry('d/new'), treeEntry('d/.wh..wh..opq')],
    ],
    paths: ['.', 'd', 'd/new', 'k'],
  },
  {
    name: 'an opaque root',
    layers: [
      [treeEntry('a'), treeEntry('b/c')],
      [treeEntry('.wh..wh..opq'), treeEntry('n')],
    ],
    paths: ['.', 'n'],
  },
  { name: 'a folder that becomes a file', layers: [[treeEntry('d/e')], [treeEntry('d', 'file')]], paths: ['.', 'd'] },
  { name: 'a file that becomes a folder', layers: [[treeEntry('d')], [treeEntry('d/'), treeEntry('d/e')]], paths: ['.', 'd', 'd/e'] },
  {
    name: 'a folder that is named again',
    layers: [[treeEntry('d/'), treeEntry('d/e')], [treeEntry('d/', '', { mode: 0o700 })]],
    paths: ['.', 'd', 'd/e'],
  },
  {
    name: 'an entry below a symlink',
    layers: [[treeEntry('usr/lib/'), symlink('lib', 'usr/lib')], [treeEntry('lib/x')]],
    paths: ['.', 'lib', 'usr', 'usr/lib', 'usr/lib/x'],
  },
  {
    name: 'an entry below an absolute symlink',
    layers: [[treeEntry('var/opt/'), symlink('opt', '/var/opt')], [treeEntry('opt/x')]],
    paths: ['.', 'opt', 'var', 'var/opt', 'var/opt/x'],
  },
  { name: 'bookkeeping of AUFS', layers: [[treeEntry('.wh..wh.plnk/'), treeEntry('.wh..wh.aufs'), treeEntry('a')]], paths: ['.', 'a'] },
];

describe('readTree', () => {
  it.each(CASES)('merges $name', async ({ layers, paths }) => {
    const layout = await scratchLayout();
    expect([...(await treeOf(layout, ...layers)).nodes.keys()]).toEqual(paths);
  });

  it('gives metadata and digests of the topmost entry', async () => {
    const tree = await treeOf(await scratchLayout(), [treeEntry('a', 'old')], [treeEntry('a', 'new!', { mode: 0o4755, uid: 7 })]);
    expect(tree.nodes.get('a')).toMatchObject({
      type: 'file',
      mode: 0o4755,
      uid: 7,
      size: 4,
      digest: sha256('new!'),
      links: ['a'],
      source: { layer: 1, path: 'a' },
    });
  });

  it('keeps hard links together, also across layers, until one is replaced', async () => {
    const layout = await scratchLayout();
    const below = [treeEntry('b', 'x'), link('a', 'b')];
    const across = await treeOf(layout, below, [link('c/d', 'a')]);
    expect(across.nodes.get('c/d')).toMatchObject({
      type: 'file',
      size: 1,
      digest: sha256('x'),
      links: ['a', 'b', 'c/d'],
      source: { layer: 0, path: 'b' },
    });
    const replaced = await treeOf(layout, below, [treeEntry('b', 'y')]);
    expect(replaced.nodes.get('a')).toMatchObject({ digest: sha256('x'), links: ['a'] });
    const removed = await treeOf(layout, below, [treeEntry('.wh.b')]);
    expect(removed.nodes.get('a')).toMatchObject({ digest: sha256('x'), links: ['a'] });
    await expect(treeOf(layout, [link('a', 'nowhere')])).rejects.toMatchObject({ code: 'layer-damaged' });
  });

  it('goes on from a tree as if it had read its layers', async () => {
    const layout = await scratchLayout();
    const layers = [
      [treeEntry('a', '1'), link('b', 'a'), treeEntry('d/e')],
      [treeEntry('.wh.d'), link('c', 'b'), treeEntry('f')],
    ];
    const base = await treeOf(layout, layers[0]!);
    const descriptors = await descriptorsOf(layout, layers);
    expect(await readTree(layout, descriptors.slice(1), base)).toEqual(await readTree(layout, descriptors));
  });

  it('does not loop on symlinks', async () => {
    await expect(treeOf(await scratchLayout(), [symlink('a', 'b'), symlink('b', 'a'), treeEntry('a/x')])).rejects.toMatchObject({
      code: 'layer-damaged',
    });
  });
});

describe('diffTrees', () => {
  it('tells what was added, removed and changed, and in what', async () => {
    const layout = await scratchLayout();
    const before = await treeOf(layout, [
      treeEntry('gone'),
      treeEntry('same', 'x'),
      treeEntry('mode'),
      treeEntry('owner'),
      treeEntry('content', 'ab'),
      treeEntry('size', 'ab'),
      treeEntry('type'),
      treeEntry('xattrs'),
      symlink('target', 'a'),
      treeEntry('device', '', { type: 'character-device', device: { major: 1, minor: 2 } }),
      treeEntry('one', 'l'),
      link('two', 'one'),
    ]);
    const after = await treeOf(layout, [
      treeEntry('new'),
      treeEntry('same', 'x', { mtime: 5 }),
      treeEntry('mode', '', { mode: 0o600 }),
      treeEntry('owner', '', { gid: 1 }),
      treeEntry('content', 'cd'),
      treeEntry('size', 'abc'),
      symlink('type', 'x'),
      treeEntry('xattrs', '', { xattrs: { 'user.a': '' } }),
      symlink('target', 'b'),
      treeEntry('device', '', { type: 'character-device', device: { major: 1, minor: 3 } }),
      treeEntry('one', 'l'),
      treeEntry('two', 'l'),
    ]);
    const difference = diffTrees(before, after);
    expect(difference.added.map(({ path }) => path)).toEqual(['new']);
    expect(difference.removed.map(({ path }) => path)).toEqual(['gone']);
    expect(Object.fromEntries(difference.changed.map(({ path, aspects }) => [path, aspects]))).toEqual({
      mode: ['mode'],
      owner: ['owner'],
      content: ['content'],
      size: ['content', 'size'],
      type: ['type', 'mode', 'content', 'target'],
      xattrs: ['xattrs'],
      target: ['target'],
      device: ['device'],
      one: ['links'],
      two: ['links'],
    });
    expect(diffTrees(before, after, { mtime: true }).changed.map(({ path }) => path)).toContain('same');
    expect(diffTrees(before, before, { mtime: true })).toEqual({ added: [], removed: [], changed: [] });
  });
});

describe('flattenAbove', () => {
  const BASE = [
    treeEntry('etc/', '', { mtime: 1 }),
    treeEntry('etc/hosts', 'base hosts'),
    treeEntry('etc/passwd', 'root'),
    treeEntry('usr/bin/'),
    treeEntry('usr/bin/a', 'a'),
    link('usr/bin/b', 'usr/bin/a'),
    treeEntry('usr/share/doc/x/y', 'doc'),
    treeEntry('was-dir/child'),
    treeEntry('was-file'),
  ];

  /** One result as two engines record it: other layers, order, times, parents and leftovers. */
  const ENGINES: Readonly<Record<string, Layers>> = {
    'one layer, as Podman records it': [
      [
        treeEntry('usr/', '', { mtime: 900 }),
        treeEntry('usr/bin/', '', { mtime: 901 }),
        treeEntry('usr/bin/new', 'tool', { mode: 0o755 }),
        link('usr/bin/alias', 'usr/bin/new'),
        treeEntry('etc/passwd', 'root,kube'),
        treeEntry('usr/share/.wh.doc'),
        treeEntry('was-dir', 'now a file'),
        treeEntry('was-file/'),
        treeEntry('was-file/child', 'c'),
        treeEntry('etc/hosts'),
        treeEntry('run/'),
        treeEntry('run/.containerenv'),
        treeEntry('run/secrets/'),
        treeEntry('proc/'),
      ],
    ],
    'several layers, as Docker records it': [
      [treeEntry('etc/passwd', 'temporary'), treeEntry('tmp-file', 'x'), treeEntry('usr/share/doc/x/more'), treeEntry('run/')],
      [
        treeEntry('was-file/'),
        treeEntry('was-file/child', 'c'),
        treeEntry('was-dir', 'now a file'),
        treeEntry('.dockerenv', '', { mode: 0o755 }),
      ],
      [treeEntry('.wh.tmp-file'), treeEntry('usr/share/.wh.doc'), treeEntry('etc/passwd', 'root,kube', { mtime: 44 })],
      [treeEntry('usr/bin/alias', 'tool', { mode: 0o755, mtime: 3 }), link('usr/bin/new', 'usr/bin/alias'), treeEntry('etc/.wh.hosts')],
      [treeEntry('usr/bin/a', 'a', { mtime: 99 }), link('usr/bin/b', 'usr/bin/a')],
    ],
  };

  it('squashes what engines record differently to the same layer', async () => {
    const layout = await scratchLayout();
    const base = await treeOf(layout, BASE);
    const results = [];
    for (const layers of Object.values(ENGINES)) {
      await using flattened = await flattenAbove(layout, base, await descriptorsOf(layout, layers));
      const { descriptor } = await writeLayer(layout, flattened.entries, { compression: 'zstd', mtime: 0 });
      const entries = [];
      for await (const { path, type, linkname } of readLayer(layout, descriptor))
        entries.push([path, type, ...(linkname === undefined ? [] : [linkname])]);
      results.push({ digest: descriptor.digest, entries });
    }
    expect(results[0]?.entries).toEqual([
      ['etc/passwd', 'file'],
      ['run', 'directory'],
      ['usr/bin/alias', 'file'],
      ['usr/share/.wh.doc', 'file'],
      ['was-dir', 'file'],
      ['was-file', 'directory'],
      ['was-file/child', 'file'],
      ['usr/bin/new', 'hardlink', 'usr/bin/alias'],
    ]);
    expect(results[1]).toEqual(results[0]);
  });

  it('gives a layer that makes the same tree over the base', async () => {
    const layout = await scratchLayout();
    const base = await treeOf(layout, BASE);
    for (const layers of Object.values(ENGINES)) {
      await using flattened = await flattenAbove(layout, base, await descriptorsOf(layout, layers), []);
      const { descriptor } = await writeLayer(layout, flattened.entries, { compression: 'gzip', mtime: MTIME });
      const { descriptor: again } = await writeLayer(layout, flattened.entries, { compression: 'none', mtime: MTIME });
      for (const squashed of [descriptor, again])
        expect(diffTrees(flattened.tree, await readTree(layout, [squashed], base))).toEqual({ added: [], removed: [], changed: [] });
    }
  });

  it('changes nothing over itself', async () => {
    const base = await treeOf(await scratchLayout(), BASE);
    expect(changesAbove(base, base)).toEqual([]);
  });

  it('writes the whole group when a hard link is added to a file of the base', async () => {
    const layout = await scratchLayout();
    const base = await treeOf(layout, BASE);
    const top = await treeOf(layout, BASE, [link('usr/bin/0', 'usr/bin/a')]);
    expect(changesAbove(base, top).map(({ path, type, linkname }) => [path, type, linkname])).toEqual([
      ['usr/bin/0', 'file', undefined],
      ['usr/bin/a', 'hardlink', 'usr/bin/0'],
      ['usr/bin/b', 'hardlink', 'usr/bin/0'],
    ]);
  });
});

describe('splitLayers', () => {
  it('puts entries where the first rule says, with the folders that lead there', () => {
    const entries = [
      treeEntry('usr/'),
      treeEntry('usr/bin/'),
      treeEntry('usr/bin/kubelet'),
      treeEntry('usr/bin/ls'),
      treeEntry('usr/lib/images/'),
      treeEntry('usr/lib/images/x'),
      link('zz', 'usr/bin/kubelet'),
      treeEntry('etc/y'),
    ];
    const layers = splitLayers(entries, [
      { name: 'images', prefixes: ['usr/lib/images'] },
      { name: 'nothing', prefixes: ['opt'] },
      { name: 'binaries', prefixes: ['usr/bin/kubelet', 'usr/bin/kubeadm'] },
    ]);
    expect(layers.map(({ name, entries: own }) => [name, own.map(({ path }) => path).toSorted()])).toEqual([
      ['rest', ['etc/y', 'usr', 'usr/bin', 'usr/bin/ls']],
      ['images', ['usr', 'usr/lib/images', 'usr/lib/images/x']],
      ['binaries', ['usr', 'usr/bin', 'usr/bin/kubelet', 'zz']],
    ]);
  });
});
