import { z } from 'zod';

import type { Digest } from '../core/digest.ts';
import { type Aspect, diffTrees } from '../oci/tree.ts';
import { SBOM_PATH } from './check/facts/metadata.ts';
import type { ReadImage } from './check/read-image.ts';
import { ImageView } from './check/view.ts';

export interface Change<Value> {
  readonly name: string;
  /** Undefined for what was added. */
  readonly before: Value | undefined;
  /** Undefined for what was removed. */
  readonly after: Value | undefined;
}

/** What `kvci image diff A B` shows; JSON-able, each list sorted by name or path. */
export interface ImageDifference {
  readonly same: boolean;
  readonly before: Digest;
  readonly after: Digest;
  readonly labels: readonly Change<string>[];
  /** Packages and payload components, by their versions in the bills of materials. */
  readonly components: readonly Change<string>[];
  readonly files: {
    readonly added: readonly { readonly path: string; readonly size: number }[];
    readonly removed: readonly { readonly path: string; readonly size: number }[];
    readonly changed: readonly {
      readonly path: string;
      readonly aspects: readonly Aspect[];
      readonly size: number;
      readonly sizeBefore: number;
    }[];
  };
  /** Bytes of all files, after less before. */
  readonly growth: number;
}

/** What image `after` has that `before` has not, and the other way; times of files do not count. */
export function diffImages(before: ReadImage, after: ReadImage): ImageDifference {
  const { added, removed, changed } = diffTrees(before.tree, after.tree);
  const files = {
    added: added.map(({ path, size }) => ({ path: `/${path}`, size })),
    removed: removed.map(({ path, size }) => ({ path: `/${path}`, size })),
    changed: changed.map(({ path, aspects, before: old, after: now }) => ({
      path: `/${path}`,
      aspects,
      size: now.size,
      sizeBefore: old.size,
    })),
  };
  const views = [new ImageView(before), new ImageView(after)] as const;
  return {
    same: before.descriptor.digest === after.descriptor.digest,
    before: before.descriptor.digest,
    after: after.descriptor.digest,
    labels: changes(new Map(Object.entries(views[0].labels)), new Map(Object.entries(views[1].labels))),
    components: changes(components(views[0]), components(views[1])),
    files,
    growth: fileBytes(after) - fileBytes(before),
  };
}

function fileBytes(image: ReadImage): number {
  let bytes = 0;
  for (const { type, size, path, links } of image.nodes.values()) if (type === 'file' && links[0] === path) bytes += size;
  return bytes;
}

const bom = z.object({
  components: z.array(z.object({ name: z.string(), version: z.string().optional(), purl: z.string().optional() })).default([]),
});

/** Versions by package URL without version and qualifiers; empty for an image without a bill of materials. */
function components(image: ImageView): ReadonlyMap<string, string> {
  const text = image.text(SBOM_PATH);
  if (text === undefined) return new Map();
  const { components: all } = bom.parse(JSON.parse(text));
  return new Map(all.map(({ name, version = '', purl }) => [(purl ?? name).replace(/[@?].*$/, ''), version]));
}

function changes(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Change<string>[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .toSorted()
    .map((name) => ({ name, before: before.get(name), after: after.get(name) }))
    .filter((change) => change.before !== change.after);
}
