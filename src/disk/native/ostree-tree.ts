import { posix } from 'node:path';

import type { TreeNode } from '../../oci/tree.ts';
import { type Checksum, dirmeta, dirtree, type MetadataObject } from './ostree-objects.ts';

interface Directory {
  readonly files: Map<string, Checksum>;
  readonly directories: Map<string, { readonly tree: Checksum; readonly meta: Checksum }>;
}

/** The metadata objects of a tree, each once, its root's last. */
export interface TreeObjects {
  readonly objects: readonly MetadataObject[];
  readonly root: { readonly tree: Checksum; readonly meta: Checksum };
}

/**
 * @param nodes every path from the root `.` on; all parents are there
 * @param checksumOf of files and symlinks
 */
export function treeObjects(nodes: ReadonlyMap<string, TreeNode>, checksumOf: (node: TreeNode) => Checksum): TreeObjects {
  const objects = new Map<string, MetadataObject>();
  const add = (object: MetadataObject): Checksum => {
    objects.set(`${object.checksum}.${object.kind}`, object);
    return object.checksum;
  };
  const contents = new Map<string, Directory>();
  const at = (path: string): Directory => {
    const found = contents.get(path) ?? { files: new Map<string, Checksum>(), directories: new Map() };
    contents.set(path, found);
    return found;
  };
  let root = { tree: '', meta: '' };
  // The deepest first: a folder is named by what is in it.
  const paths = [...nodes].toSorted(([a], [b]) => depth(b) - depth(a));
  for (const [path, node] of paths) {
    const name = posix.basename(path);
    if (node.type !== 'directory') at(posix.dirname(path)).files.set(name, checksumOf(node));
    else {
      const made = { tree: add(dirtree(at(path))), meta: add(dirmeta(node)) };
      if (path === '.') root = made;
      else at(posix.dirname(path)).directories.set(name, made);
    }
  }
  return { objects: [...objects.values()], root };
}

function depth(path: string): number {
  return path === '.' ? 0 : path.split('/').length;
}
