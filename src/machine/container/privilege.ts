import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import type { Containers } from '../../host/engine/containers.ts';
import type { Tar, TarEntryWithContent } from '../../host/tar.ts';
import type { ContainerEngine } from '../../host/types.ts';
import { RUN_LABEL } from './labels.ts';

/** Where programs and their loader are on the engine's host: the image is empty, nothing has to be downloaded. */
const USERLAND = ['/usr', '/lib', '/lib64'];

const COMMAND = ['/usr/bin/true'];

export interface ProbedEngine {
  readonly engine: ContainerEngine;
  /** Of the same engine. */
  readonly containers: Containers;
  readonly tar: Tar;
  /** Whether this host, which has to be the engine's, has a folder. */
  readonly exists: (path: string) => boolean;
}

/**
 * Why an engine may not start privileged containers, which nodes are: found out by starting one that ends at once. Undefined where
 * it may. Engines that run in a container themselves, or without the rights of root, say nothing of it before.
 */
export async function privilegeProblem(probed: ProbedEngine, signal: AbortSignal): Promise<string | undefined> {
  const { engine, containers, tar, exists } = probed;
  const name = `kvci-probe-${randomBytes(4).toString('hex')}`;
  // Of this probe alone: others may be at work beside it.
  const image = `localhost/kvci/${name}:latest`;
  try {
    await engine.importRoot(tar.write([folder('usr')]), image, signal);
    const id = await containers.create(
      {
        name,
        hostname: name,
        image,
        labels: { [RUN_LABEL]: 'probe' },
        env: {},
        command: COMMAND,
        privileged: true,
        network: { name: 'none' },
        tmpfs: [],
        binds: USERLAND.filter(exists).map((path) => ({ host: path, inside: path })),
        volumes: [],
        publish: [],
      },
      signal,
    );
    return await refusal(() => containers.start(id, signal), signal);
  } finally {
    await containers.remove(name);
    await engine.remove(image);
  }
}

async function refusal(start: () => Promise<void>, signal: AbortSignal): Promise<string | undefined> {
  try {
    await start();
    return undefined;
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError)) throw error;
    return error.message;
  }
}

function folder(path: string): TarEntryWithContent {
  return { path, type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, size: 0, xattrs: {}, content: () => Readable.from([]) };
}
