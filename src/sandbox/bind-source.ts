import { realpath } from 'node:fs/promises';

import { KvciError } from '../core/errors.ts';

/**
 * What is bound for a path of the host: links of the host mean nothing where only the target's folder is bound.
 *
 * @param name of the sandbox
 * @throws KvciError `bind-missing`
 */
export async function sourceOf(path: string, name: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new KvciError('bug', 'bind-missing', `the sandbox "${name}" was to see ${path}, which is not there`, { cause: error });
  }
}
