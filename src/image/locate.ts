import { stat } from 'node:fs/promises';

import { hasErrno, KvciError } from '../core/errors.ts';
import { type ImageLayout, openLayout } from '../oci/layout.ts';
import { listManifests } from '../oci/manifests.ts';
import type { Descriptor } from '../oci/types.ts';
import { findImage } from './images.ts';

/** An image of a layout. */
export interface LocatedImage {
  readonly layout: ImageLayout;
  readonly descriptor: Descriptor;
}

/**
 * The image that a word names: one of the store, or the only one of a folder with an OCI layout.
 *
 * @throws KvciError `layout-ambiguous`, and as `findImage`
 */
export async function locateImage(store: ImageLayout, word: string): Promise<LocatedImage> {
  if (!(await isFolder(word))) return { layout: store, descriptor: (await findImage(store, word)).descriptor };
  const layout = await openLayout(word, { tar: store.tar, locks: store.locks });
  const [only, another] = await listManifests(layout);
  if (only !== undefined && another === undefined) return { layout, descriptor: only.descriptor };
  throw new KvciError('usage', 'layout-ambiguous', `${word} holds ${only === undefined ? 'no image' : 'several images'}`, {
    hint: 'A layout with exactly one image can be looked at.',
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
