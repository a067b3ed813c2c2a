import { mkdir, mkdtemp } from 'node:fs/promises';
import { basename, join } from 'node:path';

import type { Jobs } from '../../host/engine/jobs.ts';
import { removeTree } from '../../host/files.ts';
import type { ContainerEngine, Directories } from '../../host/types.ts';
import { engineFolder } from '../../sandbox/podman-storage.ts';
import type { ConverterEngine, Workspace } from './types.ts';

interface EngineParts {
  readonly engine: ContainerEngine;
  /** Of the same engine. */
  readonly jobs: Jobs;
}

/** A Podman of this host: it sees the host's folders as kvci does. */
export function hostConverterEngine({ engine, jobs, socket }: EngineParts & { readonly socket: string }): ConverterEngine {
  return {
    jobs,
    images: engine,
    network: 'engine',
    socket,
    workspace: (folder) => makeWorkspace(folder, (path) => path),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** The Podman that kvci starts in a sandbox: of kvci's folders it sees its own scratch folder, as /var/tmp. It may make no network. */
export function ownConverterEngine({
  engine,
  jobs,
  directories,
}: EngineParts & { readonly directories: Pick<Directories, 'cache'> }): ConverterEngine {
  return {
    jobs,
    images: engine,
    network: 'none',
    socket: undefined,
    workspace: () => makeWorkspace(join(engineFolder(directories), 'scratch'), (path) => join('/var/tmp', basename(path))),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

async function makeWorkspace(folder: string, seen: (path: string) => string): Promise<Workspace> {
  await mkdir(folder, { recursive: true });
  const path = await mkdtemp(join(folder, '.convert-'));
  return { path, enginePath: seen(path), [Symbol.asyncDispose]: () => removeTree(path) };
}
