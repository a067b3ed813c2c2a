import { posix } from 'node:path';

import { KvciError } from '../../core/errors.ts';
import type { Tree, TreeNode } from '../../oci/tree.ts';

/** What becomes of an image's tree on a disk. Paths are relative, `.` is the root. */
export interface DeployableRoot {
  /** What is committed: /etc as /usr/etc, and nothing of what belongs to the machine. Parents stand before what is in them. */
  readonly committed: ReadonlyMap<string, TreeNode>;
  /** What the image has in /var, by path below it: the first content of the machine's own. */
  readonly state: ReadonlyMap<string, TreeNode>;
}

/** Mount points of a running system, and folders that belong to it: a commit has them empty. */
const EMPTY = new Set(['boot', 'dev', 'proc', 'run', 'sys', 'sysroot', 'tmp', 'var']);

/** Where OSTree keeps the image's own /etc: the base of the three-way merge with the machine's. */
export const VENDOR_ETC = 'usr/etc';

/**
 * @throws KvciError `image-not-deployable` for what OSTree cannot hold: device nodes, pipes, names that are not UTF-8
 */
export function deployableRoot(tree: Tree): DeployableRoot {
  const committed = new Map<string, TreeNode>();
  const state = new Map<string, TreeNode>();
  for (const node of tree.nodes.values()) {
    const [top = '', ...below] = node.path.split('/');
    if (top === 'var' && below.length > 0) state.set(below.join('/'), node);
    if (EMPTY.has(top) && below.length > 0) continue;
    if (top === 'etc') committed.set(posix.join(VENDOR_ETC, ...below), node);
    else if (!committed.has(node.path)) committed.set(node.path, node);
  }
  for (const node of [...committed.values(), ...state.values()]) refuse(node);
  return { committed: sorted(committed), state: sorted(state) };
}

function refuse({ path, type }: TreeNode): void {
  const known = type === 'file' || type === 'directory' || type === 'symlink';
  if (known && path.isWellFormed()) return;
  const what = known ? `a name that is not UTF-8: ${JSON.stringify(path)}` : `a ${type} at /${path}`;
  throw new KvciError('failed', 'image-not-deployable', `the image has ${what}, which OSTree does not keep`, {
    hint: 'Leave it out of the image, and have it made at boot by systemd-tmpfiles.',
    facts: { path: `/${path}` },
  });
}

function sorted(nodes: ReadonlyMap<string, TreeNode>): ReadonlyMap<string, TreeNode> {
  return new Map([...nodes].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
