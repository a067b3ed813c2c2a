import { mkdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

import { KvciError } from '../core/errors.ts';
import type { Directories } from './types.ts';

/** What the folders are chosen by: the variables of the XDG base directory specification, and kvci's own that win over them. */
export interface DirectoryInputs {
  readonly home: string;
  readonly xdgCacheHome?: string | undefined;
  readonly xdgStateHome?: string | undefined;
  readonly xdgRuntimeDir?: string | undefined;
  readonly cache?: string | undefined;
  readonly state?: string | undefined;
  readonly runtime?: string | undefined;
}

/**
 * The folders by the XDG base directory specification; relative XDG values are ignored, as it asks. Where there is no
 * XDG_RUNTIME_DIR (root, containers, cron) the runtime folder lies in the state folder.
 *
 * @throws KvciError `bad-directory` for an own folder that is not an absolute path
 */
export function chooseDirectories(inputs: DirectoryInputs): Directories {
  const state = own('state', inputs.state) ?? join(xdg(inputs.xdgStateHome) ?? join(inputs.home, '.local', 'state'), 'kvci');
  const runtime = xdg(inputs.xdgRuntimeDir);
  return {
    cache: own('cache', inputs.cache) ?? join(xdg(inputs.xdgCacheHome) ?? join(inputs.home, '.cache'), 'kvci'),
    state,
    runtime: own('runtime', inputs.runtime) ?? (runtime === undefined ? join(state, 'run') : join(runtime, 'kvci')),
  };
}

/** Makes what is missing of the folders, closed to others (0700); what exists keeps its mode. */
export async function makeDirectories(directories: Directories): Promise<Directories> {
  for (const path of [directories.cache, directories.state, directories.runtime]) {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new KvciError('hostNotReady', 'directory-unusable', `cannot make the folder ${path}`, {
        hint: 'Set KVCI_CACHE_DIR, KVCI_STATE_DIR or KVCI_RUNTIME_DIR to folders that you can write to.',
        cause: error,
      });
    }
  }
  return directories;
}

function xdg(value: string | undefined): string | undefined {
  return value !== undefined && isAbsolute(value) ? value : undefined;
}

function own(what: string, value: string | undefined): string | undefined {
  if (value === undefined || value === '') return undefined;
  if (isAbsolute(value)) return value;
  throw new KvciError('usage', 'bad-directory', `the ${what} folder "${value}" is not an absolute path`);
}
