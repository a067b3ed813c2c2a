import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { hasErrno, KvciError } from '../core/errors.ts';
import { parseConfig } from './parse.ts';
import type { Config } from './schema.ts';

export const CONFIG_FILE = 'kvci.yaml';

export interface LoadedConfig {
  readonly config: Config;
  /** Absolute path of the file; undefined where there is none. */
  readonly file: string | undefined;
  /** Where relative paths in it start from and where kvci.lock lies: the file's folder, else the current one. */
  readonly folder: string;
}

/**
 * Reads kvci.yaml of the current folder, or the file that `--config` names.
 *
 * @throws KvciError `config-not-found`, `config-invalid`
 */
export async function loadConfig(cwd: string, file: string | undefined): Promise<LoadedConfig> {
  const path = resolve(cwd, file ?? CONFIG_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'EISDIR', 'EACCES', 'ENOTDIR')) throw error;
    if (file === undefined && error.code === 'ENOENT') return { config: {}, file: undefined, folder: cwd };
    throw new KvciError('usage', 'config-not-found', `${file ?? CONFIG_FILE} cannot be read (${error.code ?? ''})`, {
      facts: { file: path },
      cause: error,
    });
  }
  return { config: parseConfig(text, file ?? CONFIG_FILE), file: path, folder: dirname(path) };
}
