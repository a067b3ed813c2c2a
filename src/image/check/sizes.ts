import type { ImageSizes, ImageTree } from './types.ts';

const LARGEST = 10;
/** `/usr/lib/modules`, `/usr/bin/kubelet`: deep enough to name a cause, shallow enough to add up. */
const DEPTH = 3;

/** Where an image's bytes are. */
export function imageSizes(tree: ImageTree): ImageSizes {
  const contributors = new Map<string, number>();
  let unpacked = 0;
  for (const { path, type, size, links } of tree.nodes.values()) {
    if (type !== 'file' || links[0] !== path) continue;
    unpacked += size;
    const name = `/${path.split('/').slice(0, DEPTH).join('/')}`;
    contributors.set(name, (contributors.get(name) ?? 0) + size);
  }
  return {
    unpacked,
    compressed: tree.layers.reduce((sum, layer) => sum + layer.compressed, 0),
    layers: tree.layers,
    largest: [...contributors]
      .toSorted(([a, sizeOfA], [b, sizeOfB]) => sizeOfB - sizeOfA || (a < b ? -1 : 1))
      .slice(0, LARGEST)
      .map(([path, size]) => ({ path, size })),
  };
}
