import { posix } from 'node:path';
import { createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';

import { asDiskFull } from '../host/files.ts';
import { blobPath, temporaryPath } from './blobs.ts';
import { compressionOf } from './compression.ts';
import { openLayer, openSlice } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import { differingAspects, readTree, type Tree, type TreeNode } from './tree.ts';
import type { Descriptor, TreeEntry, TreeEntryWithContent } from './types.ts';

/**
 * What engines leave in the layers of a build though no instruction put it there: mount points and files that they make for a
 * running container. Each stays as the base has it, with all that is below it.
 *
 * Docker: daemon/initlayer/setup_unix.go. Podman and Buildah: run_common.go, run_linux.go.
 */
const ENGINE_LEFTOVERS: readonly string[] = [
  '.dockerenv',
  'dev/console',
  'dev/fd',
  'dev/mqueue',
  'dev/ptmx',
  'dev/pts',
  'dev/shm',
  'dev/stderr',
  'dev/stdin',
  'dev/stdout',
  'etc/hostname',
  'etc/hosts',
  'etc/mtab',
  'etc/resolv.conf',
  'proc',
  'run/.containerenv',
  'run/secrets',
  'sys',
];

/** A changed path and where its content lies; a whiteout for a path that is gone. */
export type TreeChange = TreeEntry & { readonly source?: TreeNode['source'] };

/**
 * What `top` changes of `base`, as entries of one layer over it: everything added or changed, hard links among them, and
 * whiteouts for what is gone. What differs in nothing but its time is left out, and so are `leftovers`. Two builds with the
 * same result give the same changes, however their engines recorded them.
 */
export function changesAbove(base: Tree, top: Tree, leftovers: readonly string[] = ENGINE_LEFTOVERS): TreeChange[] {
  const left = (path: string): boolean => leftovers.some((leftover) => path === leftover || path.startsWith(`${leftover}/`));
  const changed = [...top.nodes.values()].filter((node) => {
    const old = base.nodes.get(node.path);
    return !left(node.path) && (old === undefined || differingAspects(old, node).some((aspect) => aspect !== 'mtime'));
  });
  const gone = [...base.nodes.keys()].filter(
    (path) => !left(path) && !top.nodes.has(path) && top.nodes.get(posix.dirname(path))?.type === 'directory',
  );
  return [...changed.map((node) => changeOf(node, left)), ...gone.map(whiteout)];
}

function changeOf({ links, source, ...node }: TreeNode, left: (path: string) => boolean): TreeChange {
  const first = links.find((path) => !left(path)) ?? node.path;
  if (first !== node.path) return { ...node, type: 'hardlink', size: 0, xattrs: {}, linkname: first };
  return source === undefined ? node : { ...node, source };
}

function whiteout(path: string): TreeChange {
  const place = posix.join(posix.dirname(path), `.wh.${posix.basename(path)}`);
  return { path: place, type: 'file', mode: 0, uid: 0, gid: 0, mtime: 0, size: 0, xattrs: {} };
}

/** The changes of some layers over a base, with their contents at hand until disposed. */
export interface Flattened extends AsyncDisposable {
  readonly entries: readonly TreeEntryWithContent[];
  /** The merged tree, base included. */
  readonly tree: Tree;
}

/**
 * Squashes `layers` over `base` into one canonical set of changes (see {@link changesAbove}), ready for `writeLayer`.
 * Layers that are compressed are unpacked into the layout's temp folder once, so that contents can be read in any order.
 */
export async function flattenAbove(
  layout: ImageLayout,
  base: Tree,
  layers: readonly Descriptor[],
  leftovers: readonly string[] = ENGINE_LEFTOVERS,
): Promise<Flattened> {
  const tree = await readTree(layout, layers, base);
  const changes = changesAbove(base, tree, leftovers);
  const contents = await openContents(layout, tree, changes);
  return { ...contents, tree };
}

/** Entries with contents that can be opened in any order until disposed. */
async function openContents(
  layout: ImageLayout,
  tree: Tree,
  changes: readonly TreeChange[],
): Promise<AsyncDisposable & { readonly entries: readonly TreeEntryWithContent[] }> {
  const temporary: string[] = [];
  const dispose = async (): Promise<void> => {
    for (const path of temporary) await rm(path, { force: true });
  };
  try {
    const tars = new Map<number, string>();
    for (const { source, size } of changes) {
      if (source === undefined || size === 0 || tars.has(source.layer)) continue;
      const descriptor = tree.layers[source.layer];
      if (descriptor === undefined) continue;
      tars.set(source.layer, await plainTar(layout, descriptor, temporary));
    }
    const entries = changes.map(({ source, ...entry }) => ({
      ...entry,
      content: () => (source === undefined ? Readable.from([]) : openSlice(tars.get(source.layer) ?? '', source.offset, entry)),
    }));
    return { entries, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw asDiskFull(error, layout.path);
  }
}

/** The path of a layer's uncompressed tar: the blob itself, or a copy. */
async function plainTar(layout: ImageLayout, descriptor: Descriptor, temporary: string[]): Promise<string> {
  const blob = blobPath(layout, descriptor.digest);
  const file = await open(blob, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (compressionOf(buffer) === 'none') return blob;
  } finally {
    await file.close();
  }
  const path = await temporaryPath(layout);
  temporary.push(path);
  await pipeline(await openLayer(layout, descriptor), createWriteStream(path, { flags: 'wx' }));
  return path;
}
