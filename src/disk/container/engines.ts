import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

import type { Jobs } from '../../host/engine/jobs.ts';
import { removeTree } from '../../host/files.ts';
import type { ContainerEngine, Ledger } from '../../host/types.ts';
import { recorded } from './reaper.ts';
import type { ConverterEngine, Workspace } from './types.ts';

interface EngineParts {
  readonly engine: ContainerEngine;
  /** Of the same engine. */
  readonly jobs: Jobs;
  readonly socket: string;
  readonly ledger: Ledger;
}

/** A Podman of this host: it sees the host's folders as kvci does, and has its containers until somebody removes them. */
export function hostConverterEngine({ engine, jobs, socket, ledger }: EngineParts): ConverterEngine {
  return {
    jobs: {
      info: jobs.info,
      storage: () => jobs.storage(),
      image: (name) => jobs.image(name),
      remove: (name) => jobs.remove(name),
      run: (request, signal) => recorded(ledger, { socket }, { container: request.name }, () => jobs.run(request, signal)),
    },
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
