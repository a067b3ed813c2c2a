import { readImageAt } from '../oci/image.ts';
import type { ImageLayout } from '../oci/layout.ts';
import { findManifest } from '../oci/manifests.ts';
import type { ClusterState } from './state.ts';

/**
 * The architecture of a cluster's nodes, which an engine of another host, or emulation, may have other than this host: that of their
 * image.
 *
 * @param store kvci's own @param otherwise for a cluster whose image has been removed
 */
export async function nodeArchitecture(
  { image }: Pick<ClusterState, 'image'>,
  store: Pick<ImageLayout, 'path'>,
  otherwise: string,
): Promise<string> {
  const found = await findManifest(store, image.digest);
  return found === undefined ? otherwise : (await readImageAt(store, found)).config.architecture;
}
