import { addAbortSignal } from 'node:stream';

import { KvciError, messageOf, throwIfCancelled } from '../core/errors.ts';
import { type RunContext, runStep } from '../core/plan.ts';
import { CommandError } from '../host/command-error.ts';
import { isDiskFull } from '../host/engine/errors.ts';
import type { Tar } from '../host/tar.ts';
import type { AcquiredImage } from '../image/acquire.ts';
import { containerdImages } from '../machine/cri/containerd.ts';
import { crioImages } from '../machine/cri/cri-o.ts';
import { lookIntoNode, type NodeLook } from '../machine/cri/look.ts';
import type { ContainerRuntime, RuntimeImages, WantedImage } from '../machine/cri/types.ts';
import type { NodeHandle } from '../machine/types.ts';
import { lackingBlobs, partialArchive } from '../oci/archive-partial.ts';

/** What a node was given. */
export interface NodeLoad {
  readonly node: string;
  /** Images by name: those that it got, and those that it had. */
  readonly loaded: readonly string[];
  readonly present: readonly string[];
  /** Bytes of blobs that were sent. */
  readonly sent: number;
}

const RUNTIMES: Readonly<Record<ContainerRuntime, RuntimeImages>> = { containerd: containerdImages, 'cri-o': crioImages };

/** How long what a node knows of blobs may be old: once more after somebody removed some meanwhile. */
const ATTEMPTS = 2;

/** For a runtime that takes away what it has written. */
const TIDY_MS = 5_000;

/**
 * Puts images into nodes, all at once, only the layers that each lacks. All nodes are looked into before any is changed.
 *
 * @throws KvciError `platform-missing`, `node-disk-full`, `no-container-runtime`, `image-not-taken`
 */
export async function loadIntoNodes(
  images: readonly AcquiredImage[],
  nodes: readonly NodeHandle[],
  tar: Tar,
  run: RunContext,
): Promise<readonly NodeLoad[]> {
  const wanted = images.map(({ name, descriptor }) => ({ name, digest: descriptor.digest }));
  const looks = await Promise.all(nodes.map(async (node) => ({ node, look: await lookIntoNode(node, wanted, run.signal) })));
  for (const { node, look } of looks) for (const image of images) refuseOther(image, look, node.name);
  const settled = await Promise.allSettled(looks.map(({ node, look }) => loadInto(images, wanted, node, look, tar, run)));
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
  return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
}

async function loadInto(
  images: readonly AcquiredImage[],
  wanted: readonly WantedImage[],
  node: NodeHandle,
  look: NodeLook,
  tar: Tar,
  run: RunContext,
): Promise<NodeLoad> {
  const missing = images.filter(({ name }) => !look.whole.has(name));
  const present = [...look.whole];
  const load = {
    id: `load ${node.name}`,
    title: `images of ${node.name}`,
    why: `it lacks ${missing.map(({ name }) => name).join(', ')}`,
    find: () => Promise.resolve(missing.length === 0 ? { node: node.name, loaded: [], present, sent: 0 } : undefined),
    make: async (): Promise<NodeLoad> => {
      let sent = 0;
      for (let attempt = 1; ; attempt += 1) {
        sent += await send(missing, node, RUNTIMES[look.runtime], tar, run.signal);
        const { whole } = await lookIntoNode(node, wanted, run.signal);
        if (missing.every(({ name }) => whole.has(name)))
          return { node: node.name, loaded: missing.map(({ name }) => name), present, sent };
        if (attempt < ATTEMPTS) continue;
        const lost = missing.filter(({ name }) => !whole.has(name)).map(({ name }) => name);
        throw new KvciError('failed', 'image-not-taken', `${node.name} took ${lost.join(', ')}, and does not have it`, {
          facts: { node: node.name, images: lost },
        });
      }
    },
  };
  return runStep<NodeLoad>(load, run);
}

/**
 * Answers the bytes of blobs that went over. Where it is cancelled the runtime gets the end of its archive first: one that is ended on
 * the spot leaves what it wrote for a day.
 */
async function send(
  images: readonly AcquiredImage[],
  node: NodeHandle,
  runtime: RuntimeImages,
  tar: Tar,
  signal: AbortSignal,
): Promise<number> {
  const has = await runtime.layers(node, signal);
  const blobs = await lackingBlobs(images, has);
  throwIfCancelled(signal);
  const archive = addAbortSignal(signal, partialArchive(tar, images, has));
  // What is wrong with the image says more than what a runtime makes of half of it.
  let broken: unknown;
  archive.once('error', (error) => (broken = error));
  try {
    await runtime.take(
      node,
      archive,
      images.map(({ name, descriptor }) => ({ name, digest: descriptor.digest })),
      afterwards(signal, TIDY_MS),
    );
  } catch (error) {
    throwIfCancelled(signal);
    throw broken instanceof KvciError ? broken : diskFullOn(node.name, error);
  } finally {
    archive.destroy();
  }
  return blobs.reduce((sum, { size }) => sum + size, 0);
}

/** Aborted that long after another one. */
function afterwards(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController();
  signal.addEventListener('abort', () => setTimeout(() => later.abort(signal.reason), ms).unref(), { once: true });
  return later.signal;
}

function diskFullOn(node: string, error: unknown): unknown {
  if (!(error instanceof CommandError) || !isDiskFull(messageOf(error))) return error;
  return new KvciError(
    'failed',
    'node-disk-full',
    `the disk of ${node} is full: the images did not get into it, what was written is removed`,
    {
      hint: `See what takes the space: kvci ssh ${node} -- df -h /var`,
      facts: { node },
      cause: error,
    },
  );
}

function refuseOther({ name, architecture }: AcquiredImage, look: NodeLook, node: string): void {
  if (architecture === look.architecture) return;
  throw new KvciError('notFoundOrExists', 'platform-missing', `${name} is for ${architecture}, and ${node} is ${look.architecture}`, {
    hint: `Build or pull it for linux/${look.architecture}.`,
    facts: { image: name, architecture, node, wanted: look.architecture },
  });
}
