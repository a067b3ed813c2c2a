import { KvciError } from '../../core/errors.ts';
import { contextEndpoint, contextFolder } from './docker-context.ts';
import { type EngineAddress, parseEngineUrl, tlsFilesIn, type TlsFiles } from './endpoint.ts';

/** What `--engine` asks for. */
export type EngineChoice =
  | { readonly kind: 'auto' }
  /** The first engine of this make in the usual places. */
  | { readonly kind: 'make'; readonly make: 'docker' | 'podman' }
  /** Podman from the tools image, started by kvci. */
  | { readonly kind: 'embedded' }
  /** A socket's path or a URL, that is one. */
  | { readonly kind: 'address'; readonly url: string };

/** A place where an engine may answer. */
export interface EngineCandidate {
  readonly address: EngineAddress;
  /** For people: `DOCKER_HOST`, `docker context "lab"`, `rootful Docker socket`. */
  readonly origin: string;
  /** Somebody named it: when it does not answer, that is an error and no reason to look elsewhere. */
  readonly named: boolean;
}

/** What discovery reads of the host. */
export interface EngineSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly uid: number;
  /** A file's text, undefined when it is not there. */
  readonly readText: (path: string) => string | undefined;
  readonly exists: (path: string) => boolean;
}

/** @throws KvciError `bad-engine-url` */
export function parseEngineChoice(text: string): EngineChoice {
  switch (text) {
    case 'auto':
    case 'embedded':
      return { kind: text };
    case 'docker':
    case 'podman':
      return { kind: 'make', make: text };
    default:
      if (/^[a-z-]+$/i.test(text)) {
        throw new KvciError('usage', 'bad-engine-url', `--engine: "${text}" is not an engine`, {
          hint: 'Choose auto, docker, podman, embedded (Podman started by kvci), or name a socket path or URL.',
        });
      }
      // Whether there are the certificates that it asks for is seen when it is looked for.
      parseEngineUrl(text, '--engine', tlsFilesIn('.'));
      return { kind: 'address', url: text };
  }
}

/**
 * The places to ask, in order. Sockets are listed only where a file is; what is named is listed whether it is there or not.
 *
 * @throws KvciError `bad-engine-url`, `bad-docker-context`
 */
export function engineCandidates(choice: EngineChoice, host: EngineSurroundings): readonly EngineCandidate[] {
  switch (choice.kind) {
    case 'embedded':
      return [];
    case 'address':
      return [{ address: parseEngineUrl(choice.url, '--engine', flagTls(choice.url, host)), origin: '--engine', named: true }];
    case 'make':
      // Any of them may be of the make that was asked for; which one answers is not known before.
      return usualPlaces(host).map((candidate) => ({ ...candidate, named: false }));
    case 'auto':
      return usualPlaces(host);
  }
}

function usualPlaces(host: EngineSurroundings): readonly EngineCandidate[] {
  const found = STRATEGIES.flatMap((strategy) => strategy(host));
  // /var/run is usually a link to /run.
  return found.filter((candidate, index) => found.findIndex((other) => samePlace(other.address, candidate.address)) === index);
}

type Strategy = (host: EngineSurroundings) => readonly EngineCandidate[];

const STRATEGIES: readonly Strategy[] = [
  (host) => fromVariable('DOCKER_HOST', host, dockerTls(host)),
  (host) => fromVariable('CONTAINER_HOST', host, undefined),
  fromContext,
  (host) => sockets(host, 'rootful Docker socket', ['/run/docker.sock', '/var/run/docker.sock']),
  (host) => sockets(host, 'rootful Podman socket', ['/run/podman/podman.sock']),
  (host) => sockets(host, 'rootless Docker socket', [`${runtimeDirectory(host)}/docker.sock`]),
  (host) => sockets(host, 'rootless Podman socket', [`${runtimeDirectory(host)}/podman/podman.sock`]),
  (host) => sockets(host, 'Docker Desktop socket', [`${host.home}/.docker/run/docker.sock`, `${host.home}/.docker/desktop/docker.sock`]),
];

function fromVariable(name: string, host: EngineSurroundings, tls: TlsFiles | undefined): readonly EngineCandidate[] {
  const value = host.env[name];
  if (value === undefined || value === '') return [];
  // `docker` also reads HOST:PORT without a scheme.
  const url = value.startsWith('/') || value.includes('://') ? value : `tcp://${value}`;
  return [{ address: parseEngineUrl(url, name, tls), origin: name, named: true }];
}

/** DOCKER_TLS_VERIFY with any value asks for TLS; the certificates stand in DOCKER_CERT_PATH or beside docker's configuration. */
function dockerTls({ env, home }: EngineSurroundings, url = env['DOCKER_HOST'] ?? ''): TlsFiles | undefined {
  const wanted = (env['DOCKER_TLS_VERIFY'] ?? '') !== '' || url.startsWith('https://') || /:2376\/?$/.test(url);
  return wanted && !url.startsWith('unix:') ? tlsFilesIn(env['DOCKER_CERT_PATH'] ?? contextFolder(env, home)) : undefined;
}

/** The same for an address of a flag, where there are certificates. */
function flagTls(url: string, host: EngineSurroundings): TlsFiles | undefined {
  const tls = dockerTls(host, url);
  return tls !== undefined && host.exists(tls.ca) ? tls : undefined;
}

function fromContext(host: EngineSurroundings): readonly EngineCandidate[] {
  const found = contextEndpoint(host);
  return found === undefined ? [] : [{ ...found, named: true }];
}

function sockets(host: EngineSurroundings, origin: string, paths: readonly string[]): readonly EngineCandidate[] {
  const path = paths.find((candidate) => host.exists(candidate));
  return path === undefined ? [] : [{ address: { transport: 'unix', path }, origin, named: false }];
}

/** Where pam_systemd puts it when the variable got lost, as under sudo and cron. */
function runtimeDirectory({ env, uid }: EngineSurroundings): string {
  const named = env['XDG_RUNTIME_DIR'];
  return named === undefined || named === '' ? `/run/user/${uid}` : named;
}

function samePlace(a: EngineAddress, b: EngineAddress): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
