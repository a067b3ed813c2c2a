import { type Digest, hexOf } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { ContainerEngine } from '../../host/types.ts';

const NODES = 'localhost/kvci/node:';
const BALANCERS = 'localhost/kvci/balancer:';

/** What an engine of the host calls a node image of kvci's store. */
export function nodeImageName(image: Digest): string {
  return `${NODES}${hexOf(image)}`;
}

/** Made of programs of the tools image; another number where other programs are in it. */
export const BALANCER_IMAGE = `${BALANCERS}1`;

/**
 * Removes images that kvci brought into an engine for nodes, and that neither a known cluster needs nor a container uses: those of
 * others keep theirs. All of them are made again when they are missing. Answers what is gone.
 *
 * @param needed node images of clusters that are known
 */
export async function removeUnusedImages(
  engine: Pick<ContainerEngine, 'images' | 'remove'>,
  needed: readonly Digest[],
): Promise<readonly string[]> {
  const kept = new Set([...needed.map(nodeImageName), ...(needed.length === 0 ? [] : [BALANCER_IMAGE])]);
  const found = await engine.images();
  const removed: string[] = [];
  for (const tag of found.filter((name) => (name.startsWith(NODES) || name.startsWith(BALANCERS)) && !kept.has(name))) {
    try {
      await engine.remove(tag);
      removed.push(tag);
    } catch (error) {
      if (!isInUse(error)) throw error;
    }
  }
  return removed;
}

/** Engines refuse to remove an image of a container, also of one that is stopped. */
function isInUse(error: unknown): boolean {
  return error instanceof KvciError && (error.facts['status'] === 409 || /in use|is using/i.test(error.message));
}
