import { readSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import type { Place, SpooledTree } from '../../oci/spool.ts';
import type { TreeNode } from '../../oci/tree.ts';

/** Bytes that are read at once; a file that fits is read once for its checksum and its content. */
export const PIECE = 256 * 1024;

/**
 * The content of a file of an image in pieces, the last one shorter. Read synchronously: most of some ten thousand files are small
 * and in memory, and a trip to another thread takes longer than the reading.
 *
 * @param into of {@link PIECE} bytes, for who has done with each piece when the next one is asked for: then none is allocated
 */
export function* pieces({ place }: Pick<SpooledTree, 'place'>, node: TreeNode, into?: Buffer): Generator<Buffer> {
  const at = place(node);
  if (at === undefined) return;
  for (let done = 0; done < node.size;) {
    const length = Math.min(PIECE, node.size - done);
    const piece = into?.subarray(0, length) ?? Buffer.allocUnsafe(length);
    readPiece(at, done, piece, node);
    done += length;
    yield piece;
  }
}

function readPiece({ file, offset }: Place, from: number, piece: Buffer, { path }: TreeNode): void {
  for (let read = 0; read < piece.length;) {
    const count = readSync(file.fd, piece, read, piece.length - read, offset + from + read);
    if (count === 0) throw new KvciError('bug', 'spool-too-short', `the content of /${path} ends early`);
    read += count;
  }
}

export function streamOf(spooled: Pick<SpooledTree, 'place'>, node: TreeNode): Readable {
  return Readable.from(pieces(spooled, node), { objectMode: false });
}

/** A small file as text. */
export function textOf(spooled: Pick<SpooledTree, 'place'>, node: TreeNode): string {
  return Buffer.concat([...pieces(spooled, node)]).toString('utf8');
}

/** sha256 in hex of files, one after the other. */
export function checksumOfFiles(spooled: Pick<SpooledTree, 'place'>, nodes: readonly TreeNode[]): string {
  const hash = createHash('sha256');
  const into = Buffer.allocUnsafe(PIECE);
  for (const node of nodes) for (const piece of pieces(spooled, node, into)) hash.update(piece);
  return hash.digest('hex');
}
