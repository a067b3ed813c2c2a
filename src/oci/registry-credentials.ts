import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../core/errors.ts';
import { Secret } from '../core/secrets.ts';
import { parse } from './schemas.ts';

export type RegistryCredentials =
  | { readonly username: string; readonly password: Secret }
  /** A refresh token, as credential helpers of Azure and others give. */
  | { readonly identityToken: Secret };

/** Asks `docker-credential-<name> get` for a server; its JSON answer, or undefined when it knows none or is not installed. */
export type CredentialHelper = (name: string, server: string) => Promise<string | undefined>;

const authFile = z.looseObject({
  auths: z
    .record(
      z.string(),
      z.looseObject({
        auth: z.string().optional(),
        identitytoken: z.string().optional(),
        username: z.string().optional(),
        password: z.string().optional(),
      }),
    )
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

export type AuthFile = z.infer<typeof authFile>;

/** Where `podman login` and `docker login` keep credentials, most specific first. */
export function authFilePaths(env: Readonly<Record<string, string | undefined>>, home: string): readonly string[] {
  const explicit = env['REGISTRY_AUTH_FILE'];
  if (explicit !== undefined && explicit !== '') return [explicit];
  return [
    ...(env['XDG_RUNTIME_DIR'] ? [join(env['XDG_RUNTIME_DIR'], 'containers', 'auth.json')] : []),
    join(env['XDG_CONFIG_HOME'] ?? join(home, '.config'), 'containers', 'auth.json'),
    join(env['DOCKER_CONFIG'] ?? join(home, '.docker'), 'config.json'),
  ];
}

/** Credentials for a repository (`quay.io/org/name`) from the first file that knows some; files that are not there are passed over. */
export async function credentialsFor(
  paths: readonly string[],
  repository: string,
  helper: CredentialHelper,
): Promise<RegistryCredentials | undefined> {
  for (const path of paths) {
    const text = await readFile(path).catch((error: unknown) => {
      if (hasErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
      throw error;
    });
    if (text === undefined || text.length === 0) continue;
    const found = await findCredentials(parseAuthFile(text, path), repository, helper);
    if (found !== undefined) return found;
  }
  return undefined;
}

export function parseAuthFile(text: Uint8Array, path: string): AuthFile {
  return parse(authFile, text, path);
}

const helperAnswer = z.object({ Username: z.string(), Secret: z.string() });

/** As containers-auth.json(5): the longest key that leads to the repository counts, and a helper before what the file holds. */
export async function findCredentials(
  file: AuthFile,
  repository: string,
  helper: CredentialHelper,
): Promise<RegistryCredentials | undefined> {
  for (const key of keysFor(repository)) {
    const name = file.credHelpers?.[key] ?? (file.auths?.[key] === undefined ? undefined : file.credsStore);
    const answer = name === undefined ? undefined : await helper(name, key);
    if (answer !== undefined) {
      const { Username, Secret: secret } = parse(helperAnswer, Buffer.from(answer), `the answer of docker-credential-${name ?? ''}`);
      return Username === '<token>' ? { identityToken: new Secret(secret) } : { username: Username, password: new Secret(secret) };
    }
    const entry = file.auths?.[key];
    if (entry?.identitytoken !== undefined && entry.identitytoken !== '') return { identityToken: new Secret(entry.identitytoken) };
    if (entry?.auth !== undefined && entry.auth !== '') return decodeAuth(entry.auth, key);
    if (entry?.username !== undefined && entry.password !== undefined)
      return { username: entry.username, password: new Secret(entry.password) };
  }
  return undefined;
}

/** `quay.io/org/name`, `quay.io/org`, `quay.io`; Docker Hub has names of its own. */
function keysFor(repository: string): string[] {
  const parts = repository.split('/');
  const keys = parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
  const [host = ''] = parts;
  return [...keys, `https://${host}`, ...(host === 'docker.io' ? ['https://index.docker.io/v1/', 'index.docker.io'] : [])];
}

function decodeAuth(auth: string, key: string): RegistryCredentials {
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon === -1) throw new KvciError('usage', 'bad-auth-file', `the credentials for ${key} are malformed: no ":" after decoding`);
  return { username: text.slice(0, colon), password: new Secret(text.slice(colon + 1)) };
}
