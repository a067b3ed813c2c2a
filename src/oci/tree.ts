import { createHash } from 'node:crypto';
import { posix } from 'node:path';

import type { Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import { byPath, readLayer } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import type { Descriptor, TreeEntry } from './types.ts';

/** What stands at a path of a merged tree. Hard links are not a type here: each of their paths has the whole file and `links`. */
export interface TreeNode extends Omit<TreeEntry, 'type'> {
  readonly type: Exclude<TreeEntry['type'], 'hardlink'>;
  /** Digest of the content; files only. */
  readonly digest?: Digest;
  /** Every path of the same file, sorted, this one included. */
  readonly links: readonly string[];
  /** Where the content is stored: in the layer of this number, at this place of its uncompressed tar; absent for what no layer names. */
  readonly source?: ContentSource;
}

export interface ContentSource {
  readonly layer: number;
  readonly path: string;
  /** Absent where the content is not stored as it is (sparse files). */
  readonly offset?: number;
}

/** The files that a container of these layers would see. */
export interface Tree {
  readonly layers: readonly Descriptor[];
  /** Sorted by path; the root `.` is always there. */
  readonly nodes: ReadonlyMap<string, TreeNode>;
}

/** A file as it was stored, shared by all its paths. */
type Inode = Omit<TreeNode, 'path' | 'links'>;

/** An entry as a layer has it; `offset` is that of its content in the layer's uncompressed tar. */
export type LayerEntry = TreeEntry & { readonly digest?: Digest; readonly offset?: number };

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const MAX_SYMLINKS = 40;

const IMPLICIT_DIRECTORY: Inode = { type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 0, xattrs: {} };

/**
 * Sees the content of files as it passes, for readers that want more of it than its digest. Called for every file of every layer,
 * also for one that a higher layer replaces: a node's `source` tells which of them it is.
 */
export type ContentWatch = (entry: TreeEntry, layer: number) => ((chunk: Uint8Array) => void) | undefined;

/**
 * Merges layers, lowest first, in one pass each; memory grows with the number of files, not with their size.
 * With `above`, the layers stand on that tree, which is not read again.
 *
 * Source: https://github.com/opencontainers/image-spec/blob/main/layer.md
 *
 * @throws KvciError `layer-damaged` for a hard link to nothing; as `readLayer`
 */
export async function readTree(layout: ImageLayout, layers: readonly Descriptor[], above?: Tree, watch?: ContentWatch): Promise<Tree> {
  const merged = new MergedTree(above);
  const below = above?.layers ?? [];
  for (const [index, descriptor] of layers.entries()) {
    merged.add(await readEntries(layout, descriptor, below.length + index, watch), below.length + index);
  }
  return { layers: [...below, ...layers], nodes: merged.nodes() };
}

/** {@link readTree} for layers whose entries have been read already. */
export function mergeLayers(layers: readonly { readonly descriptor: Descriptor; readonly entries: readonly LayerEntry[] }[]): Tree {
  const merged = new MergedTree();
  for (const [index, { entries }] of layers.entries()) merged.add(entries, index);
  return { layers: layers.map(({ descriptor }) => descriptor), nodes: merged.nodes() };
}

async function readEntries(layout: ImageLayout, descriptor: Descriptor, layer: number, watch?: ContentWatch): Promise<LayerEntry[]> {
  const entries: LayerEntry[] = [];
  for await (const { content, ...entry } of readLayer(layout, descriptor)) {
    if (entry.type !== 'file') {
      entries.push(entry);
      continue;
    }
    const hash = createHash('sha256');
    const see = watch?.(entry, layer);
    if (entry.size > 0)
      for await (const chunk of content() as AsyncIterable<Uint8Array>) {
        hash.update(chunk);
        see?.(chunk);
      }
    entries.push({ ...entry, digest: `sha256:${hash.digest('hex')}` });
  }
  return entries;
}

class MergedTree {
  readonly #inodes: Map<string, Inode>;

  constructor(above?: Tree) {
    this.#inodes = new Map([['.', IMPLICIT_DIRECTORY]]);
    const shared = new Map<string, Inode>();
    for (const { path, links, ...inode } of above?.nodes.values() ?? []) {
      const first = links[0] ?? path;
      shared.set(first, shared.get(first) ?? inode);
      this.#inodes.set(path, shared.get(first) ?? inode);
    }
  }

  add(entries: readonly LayerEntry[], layer: number): void {
    // Whiteouts hide what lower layers have, never their own layer's entries, wherever they stand in the tar.
    for (const { path } of entries) this.#hide(path);
    const real = entries.filter(({ path }) => !posix.basename(path).startsWith(WHITEOUT));
    for (const entry of real) if (entry.type !== 'hardlink') this.#place(entry, layer);
    for (const entry of real) if (entry.type === 'hardlink') this.#link(entry.path, entry.linkname ?? '');
  }

  nodes(): Map<string, TreeNode> {
    const links = new Map<Inode, string[]>();
    const paths = [...this.#inodes.keys()].toSorted();
    for (const path of paths) {
      const inode = this.#at(path);
      if (inode.type === 'directory') continue;
      const group = links.get(inode);
      if (group === undefined) links.set(inode, [path]);
      else group.push(path);
    }
    return new Map(paths.map((path) => [path, { ...this.#at(path), path, links: links.get(this.#at(path)) ?? [path] }]));
  }

  #at(path: string): Inode {
    return this.#inodes.get(path) ?? IMPLICIT_DIRECTORY;
  }

  #hide(path: string): void {
    const name = posix.basename(path);
    const folder = posix.dirname(path);
    if (name === OPAQUE) this.#removeBelow(folder);
    // Names that start with two prefixes are AUFS's own bookkeeping.
    else if (name.startsWith(WHITEOUT) && !name.startsWith(WHITEOUT + WHITEOUT))
      this.#remove(posix.join(folder, name.slice(WHITEOUT.length)));
  }

  #remove(path: string): void {
    if (this.#inodes.get(path)?.type === 'directory') this.#removeBelow(path);
    this.#inodes.delete(path);
  }

  #removeBelow(folder: string): void {
    const prefix = folder === '.' ? '' : `${folder}/`;
    for (const path of this.#inodes.keys()) if (path.startsWith(prefix) && path !== '.') this.#inodes.delete(path);
  }

  #place({ path, digest, offset, ...entry }: LayerEntry, layer: number): void {
    const place = this.#resolve(path);
    if (entry.type === 'hardlink') return;
    if (entry.type !== 'directory') this.#remove(place);
    const source = { layer, path, ...(offset === undefined ? {} : { offset }) };
    this.#inodes.set(place, { ...entry, type: entry.type, source, ...(digest === undefined ? {} : { digest }) });
  }

  #link(path: string, target: string): void {
    const inode = this.#inodes.get(this.#resolve(target));
    if (inode === undefined || inode.type === 'directory')
      throw new KvciError(
        'failed',
        'layer-damaged',
        `the hard link ${JSON.stringify(path)} points to ${JSON.stringify(target)}, which is not there`,
      );
    const place = this.#resolve(path);
    if (this.#inodes.get(place) === inode) return;
    this.#remove(place);
    this.#inodes.set(place, inode);
  }

  /** The path with its folder's symlinks followed, as an engine that unpacks it would; missing folders are made. */
  #resolve(path: string, followed = 0): string {
    const folder = posix.dirname(path);
    if (folder === '.' || path === '.') return path;
    if (followed > MAX_SYMLINKS) throw new KvciError('failed', 'layer-damaged', `too many symlinks on the way to ${JSON.stringify(path)}`);
    const above = this.#resolve(folder, followed);
    const inode = this.#inodes.get(above);
    if (inode?.type === 'symlink') {
      const target = posix.resolve('/', posix.dirname(above), inode.linkname ?? '').slice(1);
      return this.#resolve(posix.join(target, posix.basename(path)), followed + 1);
    }
    if (inode?.type !== 'directory') this.#inodes.set(above, IMPLICIT_DIRECTORY);
    return posix.join(above, posix.basename(path));
  }
}

// ---- differences ----------------------------------------------------------------------------------------------------

const ASPECTS = ['type', 'mode', 'owner', 'xattrs', 'content', 'size', 'target', 'device', 'links', 'mtime'] as const;
export type Aspect = (typeof ASPECTS)[number];

export interface TreeDifference {
  readonly added: readonly TreeNode[];
  readonly removed: readonly TreeNode[];
  readonly changed: readonly {
    readonly path: string;
    readonly before: TreeNode;
    readonly after: TreeNode;
    readonly aspects: readonly Aspect[];
  }[];
}

/** What `after` has that `before` has not, and the other way; times count only when asked for. */
export function diffTrees(before: Tree, after: Tree, options: { readonly mtime?: boolean } = {}): TreeDifference {
  const both = [...after.nodes.values()].flatMap((node) => {
    const old = before.nodes.get(node.path);
    return old === undefined ? [] : [{ path: node.path, before: old, after: node, aspects: differingAspects(old, node) }];
  });
  const counts = (aspect: Aspect): boolean => aspect !== 'mtime' || options.mtime === true;
  return {
    added: [...after.nodes.values()].filter(({ path }) => !before.nodes.has(path)),
    removed: [...before.nodes.values()].filter(({ path }) => !after.nodes.has(path)),
    changed: both
      .map((change) => ({ ...change, aspects: change.aspects.filter(counts) }))
      .filter(({ aspects }) => aspects.length > 0)
      .toSorted(byPath),
  };
}

/** In what two nodes of one path differ, times included. */
export function differingAspects(a: TreeNode, b: TreeNode): Aspect[] {
  const facts: Readonly<Record<Aspect, (node: TreeNode) => string | number | undefined>> = {
    type: ({ type }) => type,
    mode: ({ mode }) => mode,
    owner: ({ uid, gid }) => `${uid}:${gid}`,
    xattrs: ({ xattrs }) => JSON.stringify(Object.entries(xattrs).toSorted()),
    content: ({ digest }) => digest,
    size: ({ size }) => size,
    target: ({ linkname }) => linkname,
    device: ({ device }) => (device === undefined ? undefined : `${device.major}:${device.minor}`),
    links: ({ links }) => JSON.stringify(links),
    mtime: ({ mtime }) => mtime,
  };
  return ASPECTS.filter((aspect) => facts[aspect](a) !== facts[aspect](b));
}
