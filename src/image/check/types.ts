import type { Digest } from '../../core/digest.ts';
import type { Tree } from '../../oci/tree.ts';
import type { ImageConfig } from '../../oci/types.ts';
import type { ImageView } from './view.ts';

/** What one pass over a file's bytes tells about it beside its digest. */
export interface FileObservation {
  /** The first {@link HEAD_BYTES} bytes: enough for an ELF header. */
  readonly head: Uint8Array;
  /** The file starts with or holds a PEM or OpenSSH private key. */
  readonly privateKey: boolean;
}

export const HEAD_BYTES = 64;

export interface LayerSize {
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly compressed: number;
  /** Bytes of the files that this layer brings. */
  readonly unpacked: number;
  readonly createdBy?: string;
}

/** The merged tree of an image as one pass over its layers leaves it: metadata of all files, the content of those that facts read. */
export interface ImageTree {
  readonly config: ImageConfig;
  readonly layers: readonly LayerSize[];
  readonly nodes: Tree['nodes'];
  /** Content of a file that some fact reads (its `reads`); undefined for all others. */
  content(path: string): Uint8Array | undefined;
  /** Undefined for everything but files. */
  observation(path: string): FileObservation | undefined;
}

export interface Finding {
  readonly message: string;
  /** Absolute path in the image. */
  readonly path?: string;
}

/** One statement about a node image that can be read from it without booting it. */
export interface Fact {
  /** Stable, kebab-case: scripts and the table of mutations name it. */
  readonly id: string;
  /** What is so when the fact holds. */
  readonly title: string;
  /** Asked for only when `--require` names the group. */
  readonly group?: FactGroup;
  /** Files whose content the fact looks at, by path without a leading slash; `/usr/etc` is matched as `etc`. */
  readonly reads?: readonly RegExp[];
  check(image: ImageView): Iterable<Finding> | Promise<Iterable<Finding>>;
}

export const FACT_GROUPS = ['kubevirt'] as const;
export type FactGroup = (typeof FACT_GROUPS)[number];

export interface FactResult {
  readonly id: string;
  readonly title: string;
  readonly status: 'passed' | 'failed';
  readonly findings: readonly Finding[];
}

export interface ImageSizes {
  /** Bytes of all files of the merged tree; a hard link counts once. */
  readonly unpacked: number;
  /** Bytes of all layer blobs. */
  readonly compressed: number;
  readonly layers: readonly LayerSize[];
  /** The ten paths, at most three components deep, that hold the most bytes; largest first. */
  readonly largest: readonly { readonly path: string; readonly size: number }[];
}

/** JSON-able. */
export interface CheckReport {
  readonly passed: boolean;
  readonly facts: readonly FactResult[];
  readonly sizes: ImageSizes;
}
