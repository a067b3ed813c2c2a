import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

import type { Jobs } from '../../host/engine/jobs.ts';
import { removeTree } from '../../host/files.ts';
import type { ContainerEngine } from '../../host/types.ts';
import type { ConverterEngine, Workspace } from './types.ts';

interface EngineParts {
  readonly engine: ContainerEngine;
  /** Of the same engine. */
  readonly jobs: Jobs;
  readonly socket: string;
}

/** A Podman of this host: it sees the host's folders as kvci does. */
export function hostConverterEngine({ engine, jobs, socket }: EngineParts): ConverterEngine {
  return {
    jobs,
    images: engine,
    network: 'engine',
    socket,
    workspace: (folder) => makeWorkspace(folder, (path) => path),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** @param seen where the engine sees a path */
export async function makeWorkspace(folder: string, seen: (path: string) => string): Promise<Workspace> {
  await mkdir(folder, { recursive: true });
  const path = await mkdtemp(join(folder, '.convert-'));
  return { path, enginePath: seen(path), [Symbol.asyncDispose]: () => removeTree(path) };
}
