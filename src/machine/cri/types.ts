import type { Readable } from 'node:stream';

import type { Digest } from '../../core/digest.ts';
import type { CommandRunner } from '../../host/types.ts';

export const CONTAINER_RUNTIMES = ['containerd', 'cri-o'] as const;
export type ContainerRuntime = (typeof CONTAINER_RUNTIMES)[number];

/** An image that a node is to have: its name in full, as a pod's is completed, and the digest of its manifest. */
export interface WantedImage {
  readonly name: string;
  readonly digest: Digest;
}

/** How a container runtime's images are got at from inside a node. */
export interface RuntimeImages {
  /** Digests of the layers that the runtime needs not be given again, as manifests have them. */
  layers(node: CommandRunner, signal: AbortSignal): Promise<ReadonlySet<string>>;
  /**
   * Takes images of a tar of an OCI layout that lacks those layers. What of a failed import has been written is removed again.
   *
   * @param images those in the tar, none of which is there; each is called by the hex of its digest there
   * @throws CommandError with the runtime's own words
   */
  take(node: CommandRunner, tar: Readable, images: readonly WantedImage[], signal: AbortSignal): Promise<void>;
}
