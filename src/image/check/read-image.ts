import { type Image, readImageAt } from '../../oci/image.ts';
import type { ImageLayout } from '../../oci/layout.ts';
import { readTree, type Tree } from '../../oci/tree.ts';
import type { Descriptor } from '../../oci/types.ts';
import { isRead } from './check.ts';
import { FileObserver } from './observe.ts';
import type { FileObservation, ImageTree } from './types.ts';

export interface ReadImage extends ImageTree, Image {
  readonly tree: Tree;
}

interface Seen {
  readonly observer: FileObserver;
  /** The content, where some fact reads it. */
  readonly chunks: Uint8Array[] | undefined;
}

/**
 * Reads an image of a layout with everything that facts ask for, in one pass over its layers. Of an index it takes the image of
 * `architecture`.
 *
 * @throws KvciError `platform-missing`; `blob-missing`, `digest-mismatch`, `oci-malformed`, `layer-damaged`, `tar-damaged`
 */
export async function readImage(layout: ImageLayout, named: Descriptor, architecture: string): Promise<ReadImage> {
  const { descriptor, manifest, config } = await readImageAt(layout, named, architecture);
  const seen = new Map<string, Seen>();
  const unpacked = manifest.layers.map(() => 0);
  const tree = await readTree(layout, manifest.layers, undefined, (entry, layer) => {
    unpacked[layer] = (unpacked[layer] ?? 0) + entry.size;
    const one: Seen = { observer: new FileObserver(entry.size), chunks: isRead(entry) ? [] : undefined };
    seen.set(`${layer}/${entry.path}`, one);
    return (chunk) => {
      one.observer.update(chunk);
      one.chunks?.push(Buffer.from(chunk));
    };
  });
  const at = (path: string): Seen | undefined => {
    const source = tree.nodes.get(path)?.source;
    return source === undefined ? undefined : seen.get(`${source.layer}/${source.path}`);
  };
  const commands = (config.history ?? []).filter((step) => step.empty_layer !== true).map((step) => step.created_by);
  return {
    descriptor,
    manifest,
    config,
    tree,
    nodes: tree.nodes,
    layers: manifest.layers.map(({ digest, size }, index) => {
      const command = commands.length === manifest.layers.length ? commands[index] : undefined;
      return { digest, compressed: size, unpacked: unpacked[index] ?? 0, ...(command === undefined ? {} : { createdBy: command }) };
    }),
    content(path) {
      const chunks = at(path)?.chunks;
      return chunks === undefined ? undefined : Buffer.concat(chunks);
    },
    observation: (path): FileObservation | undefined => at(path)?.observer.finish(),
  };
}
