import { Readable } from 'node:stream';

import type { TarEntryWithContent } from '../../host/tar.ts';
import type { SpooledTree } from '../../oci/spool.ts';
import type { TreeNode } from '../../oci/tree.ts';
import { pieces, PIECE, streamOf } from './contents.ts';
import { type Checksum, fileHash, type MetadataObject } from './ostree-objects.ts';

const OBJECTS = 'ostree/repo/objects';

export function objectPath(checksum: Checksum, kind: MetadataObject['kind'] | 'file'): string {
  return `${OBJECTS}/${checksum.slice(0, 2)}/${checksum.slice(2)}.${kind}`;
}

/** The files and symlinks of a commit: their objects on their way into the file system, and their checksums afterwards. */
export class FileObjects {
  readonly #checksums = new Map<string, Checksum>();
  readonly #made = new Set<Checksum>();

  /**
   * The objects of all files, each content once, in the order in which the layers have them; then those of symlinks. Times are 0, as
   * OSTree keeps no others.
   */
  *entries(nodes: Iterable<TreeNode>, spooled: Pick<SpooledTree, 'place'>): Generator<TarEntryWithContent> {
    const sorted = [...nodes].filter(({ type }) => type === 'file' || type === 'symlink').toSorted(bySource);
    const into = Buffer.allocUnsafe(PIECE);
    for (const node of sorted) {
      if (this.#checksums.has(keyOf(node))) continue;
      const hash = fileHash(node);
      let last: Buffer | undefined;
      // What is read at once is kept for its entry, and not read again.
      const whole = node.size > 0 && node.size <= PIECE;
      for (const piece of pieces(spooled, node, whole ? undefined : into)) {
        hash.update(piece);
        last = piece;
      }
      const checksum = hash.digest('hex');
      this.#checksums.set(keyOf(node), checksum);
      if (this.#made.has(checksum)) continue;
      this.#made.add(checksum);
      const { type, mode, uid, gid, size, xattrs, linkname } = node;
      yield {
        path: objectPath(checksum, 'file'),
        type,
        mode,
        uid,
        gid,
        size,
        xattrs,
        mtime: 0,
        ...(linkname === undefined ? {} : { linkname }),
        content: () => (whole && last !== undefined ? Readable.from([last]) : streamOf(spooled, node)),
      };
    }
  }

  /** After all of {@link entries}. */
  checksumOf(node: TreeNode): Checksum {
    const checksum = this.#checksums.get(keyOf(node));
    if (checksum === undefined) throw new Error(`no checksum of ${node.path}`);
    return checksum;
  }
}

/** All paths of a file have one object. */
function keyOf({ links, path }: TreeNode): string {
  return links[0] ?? path;
}

function bySource(a: TreeNode, b: TreeNode): number {
  const [left, right] = [a.source, b.source];
  return (left?.layer ?? -1) - (right?.layer ?? -1) || (left?.offset ?? -1) - (right?.offset ?? -1);
}
