import { readFile } from 'node:fs/promises';

import { hasErrno } from '../../core/errors.ts';
import type { CommandRunner } from '../types.ts';
import {
  credentialFiles,
  findAuth,
  parseCredentialFile,
  parseHelperAnswer,
  type RegistryAuth,
  type RegistryCredentials,
  type StoredAuth,
  type StoredAuths,
} from './credentials.ts';

/** A helper may ask a keyring; one that waits for a person longer than this hangs. */
const HELPER_MS = 60_000;

/** No credentials at all: for engines that never leave this host. */
export const NO_CREDENTIALS: RegistryCredentials = {
  forImage: () => Promise.resolve(undefined),
  all: () => Promise.resolve(new Map()),
};

/** The registry credentials of this user on this host, read when they are first needed. */
export function hostCredentials(
  env: Readonly<Record<string, string | undefined>>,
  home: string,
  commands: CommandRunner,
): RegistryCredentials {
  let stored: Promise<StoredAuths> | undefined;
  const read = (): Promise<StoredAuths> => (stored ??= readAll(credentialFiles(env, home)));
  const reveal = async (auth: StoredAuth): Promise<RegistryAuth> => {
    if (auth.kind !== 'helper') return auth;
    const { stdout } = await commands.run([auth.program, 'get'], { stdin: auth.server, timeoutMs: HELPER_MS });
    return parseHelperAnswer(stdout, auth.program);
  };
  return {
    async forImage(ref) {
      const auth = findAuth(await read(), ref);
      return auth === undefined ? undefined : reveal(auth);
    },
    async all() {
      const entries = [...(await read())].map(async ([registry, auth]) => [registry, await reveal(auth)] as const);
      return new Map(await Promise.all(entries));
    },
  };
}

/** Earlier files win. */
async function readAll(files: readonly string[]): Promise<StoredAuths> {
  const found = new Map<string, StoredAuth>();
  for (const file of files.toReversed()) {
    const text = await readIfThere(file);
    if (text === undefined) continue;
    for (const [registry, auth] of parseCredentialFile(text, file)) found.set(registry, auth);
  }
  return found;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
