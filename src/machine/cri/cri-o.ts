import { z } from 'zod';

import { hexOf } from '../../core/digest.ts';
import type { RuntimeImages } from './types.ts';

/** Of containers-storage: https://github.com/containers/storage/blob/main/layers.go */
const LAYERS = '/var/lib/containers/storage/overlay-layers/layers.json';

const layersSchema = z.array(z.looseObject({ 'compressed-diff-digest': z.string().optional(), 'diff-digest': z.string().optional() }));

/**
 * skopeo reads a layout of a folder only, and never asks for a layer that the storage has. One import at a time: what a killed one
 * left in the folder goes before the next.
 */
const TAKE = `exec 9>/run/kvci-load.lock && flock 9
folder=/var/tmp/kvci-load
trap 'rm -rf "$folder"' EXIT
rm -rf "$folder" && mkdir -p "$folder" && tar --extract --directory="$folder" --file=- || { status=$?; cat >/dev/null; exit $status; }
while [ $# -gt 0 ]; do skopeo copy --quiet "oci:$folder:$1" "containers-storage:$2" || exit; shift 2; done`;

/** Exit code of `cat` for a storage that has nothing yet. */
const NOTHING = 1;

/** CRI-O's images, which are those of containers-storage. */
export const crioImages: RuntimeImages = {
  layers: async (node, signal) => parseLayers((await node.run(['cat', LAYERS], { accept: [NOTHING], signal })).stdout),
  take: async (node, tar, images, signal) => {
    const words = images.flatMap(({ name, digest }) => [hexOf(digest), name]);
    await node.run(['sh', '-c', TAKE, 'sh', ...words], { stdin: tar, signal });
  },
};

/** Layers as manifests name them: compressed as they came, or not. Nothing of a text that is not understood. */
export function parseLayers(text: string): ReadonlySet<string> {
  let value: unknown = [];
  try {
    value = JSON.parse(text);
  } catch {
    // A storage without layers has none to leave out.
  }
  const layers = layersSchema.safeParse(value).data ?? [];
  return new Set(
    layers.flatMap((layer) => [layer['compressed-diff-digest'], layer['diff-digest']]).filter((digest) => digest !== undefined),
  );
}
