import { KvciError } from '../../core/errors.ts';
import { Secret } from '../../core/secrets.ts';

/** What logs in to one registry. */
export type RegistryAuth =
  | { readonly kind: 'password'; readonly username: string; readonly password: Secret }
  | { readonly kind: 'identity-token'; readonly token: Secret };

/** How one registry's credentials are kept: written down, or asked of a helper program. */
export type StoredAuth = RegistryAuth | { readonly kind: 'helper'; readonly program: string; readonly server: string };

/** Credentials by registry and repository prefix: `quay.io`, `localhost:5000`, `quay.io/team`. */
export type StoredAuths = ReadonlyMap<string, StoredAuth>;

export interface RegistryCredentials {
  /** For an image reference with its registry: `quay.io/team/image:1`. */
  forImage(ref: string): Promise<RegistryAuth | undefined>;
  /** All that this host has, by registry: a build may start from any of them. */
  all(): Promise<ReadonlyMap<string, RegistryAuth>>;
}

const DOCKER_HUB = 'docker.io';

/** Docker's own name for its registry, in its configuration and towards its daemon. */
const DOCKER_HUB_SERVER = 'https://index.docker.io/v1/';

/**
 * Files with credentials in the order of precedence, as docker and podman look for them.
 * Sources: docs.docker.com/reference/cli/docker, containers-auth.json(5).
 */
export function credentialFiles(env: Readonly<Record<string, string | undefined>>, home: string): readonly string[] {
  const runtime = env['XDG_RUNTIME_DIR'];
  const config = env['XDG_CONFIG_HOME'] ?? `${home}/.config`;
  const docker = `${env['DOCKER_CONFIG'] ?? `${home}/.docker`}/config.json`;
  const named = env['REGISTRY_AUTH_FILE'];
  if (named !== undefined && named !== '') return [named, docker];
  return [
    ...(runtime === undefined || runtime === '' ? [] : [`${runtime}/containers/auth.json`]),
    `${config}/containers/auth.json`,
    docker,
  ];
}

/**
 * Reads a docker config.json or containers auth.json: `auths`, `credHelpers`, `credsStore`.
 *
 * @throws KvciError `bad-credentials-file` naming the file, never showing what is in it
 */
export function parseCredentialFile(text: string, file: string): StoredAuths {
  const root = record(parseJson(text, file));
  if (root === undefined) throw badFile(file, 'is not a JSON object');
  const helpers = record(root['credHelpers']) ?? {};
  const store = root['credsStore'];
  const auths = record(root['auths']) ?? {};
  const found = new Map<string, StoredAuth>();
  for (const [server, value] of Object.entries(auths)) {
    const auth = authOf(record(value) ?? {}, server, file);
    if (auth !== undefined) found.set(registryKey(server), auth);
    else if (typeof store === 'string') found.set(registryKey(server), helperFor(store, server, file));
  }
  for (const [server, helper] of Object.entries(helpers)) {
    if (typeof helper === 'string') found.set(registryKey(server), helperFor(helper, server, file));
  }
  return found;
}

/** The credentials of the longest prefix of a reference: those of `quay.io/team` win over those of `quay.io`. */
export function findAuth(auths: StoredAuths, ref: string): StoredAuth | undefined {
  let prefix = repositoryOf(ref);
  for (;;) {
    const auth = auths.get(prefix);
    if (auth !== undefined) return auth;
    const slash = prefix.lastIndexOf('/');
    if (slash < 0) return undefined;
    prefix = prefix.slice(0, slash);
  }
}

/** The answer of `docker-credential-X get`: `{"Username","Secret"}`; the user `<token>` marks an identity token. */
export function parseHelperAnswer(text: string, program: string): RegistryAuth {
  const answer = record(parseJson(text, program));
  const username = answer?.['Username'];
  const secret = answer?.['Secret'];
  if (typeof username !== 'string' || typeof secret !== 'string') throw badFile(program, 'did not answer with a user and a secret');
  if (username === '<token>') return { kind: 'identity-token', token: new Secret(secret) };
  return { kind: 'password', username, password: new Secret(secret) };
}

/** The server's name as engines know it in their requests. */
export function serverAddress(registry: string): string {
  return registry === DOCKER_HUB ? DOCKER_HUB_SERVER : registry;
}

/** `https://index.docker.io/v1/` is `docker.io`, `https://quay.io/v2/` is `quay.io`, `quay.io/team` stays. */
function registryKey(server: string): string {
  const bare = server
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
    .replace(/\/v[12]$/, '');
  return /^(?:index|registry-1)\.docker\.io$/.test(bare) ? DOCKER_HUB : bare;
}

/** The repository with its registry, without tag and digest; names without a registry are Docker Hub's. */
function repositoryOf(ref: string): string {
  const repository = ref.replace(/@.*$/, '').replace(/:[^/:]+$/, '');
  const [first = '', ...rest] = repository.split('/');
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  return hasRegistry ? registryKey(first) + repository.slice(first.length) : `${DOCKER_HUB}/${repository}`;
}

function authOf(entry: Readonly<Record<string, unknown>>, server: string, file: string): RegistryAuth | undefined {
  const { identitytoken, auth, username, password } = entry;
  if (typeof identitytoken === 'string' && identitytoken !== '') return { kind: 'identity-token', token: new Secret(identitytoken) };
  if (typeof auth === 'string' && auth !== '') {
    const [, user, secret] = /^([^:]+):(.*)$/s.exec(Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')) ?? [];
    if (user === undefined || secret === undefined) throw badFile(file, `has an "auth" for ${server} that is not base64 of USER:PASSWORD`);
    return { kind: 'password', username: user, password: new Secret(secret) };
  }
  if (typeof username === 'string' && typeof password === 'string') return { kind: 'password', username, password: new Secret(password) };
  return undefined;
}

function helperFor(name: string, server: string, file: string): StoredAuth {
  // The name becomes part of a program's name.
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw badFile(file, `names the credential helper "${name}", which is not a program's name`);
  return { kind: 'helper', program: `docker-credential-${name}`, server };
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badFile(file, 'is not JSON');
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;
}

function badFile(file: string, problem: string): KvciError {
  return new KvciError('usage', 'bad-credentials-file', `${file} ${problem}`, {
    hint: 'Log in again with "docker login" or "podman login".',
  });
}
