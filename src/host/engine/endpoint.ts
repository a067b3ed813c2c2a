import { KvciError } from '../../core/errors.ts';
import { maskUrl } from '../../core/secrets.ts';

/** Where an engine's API answers. */
export type EngineAddress =
  | { readonly transport: 'unix'; readonly path: string }
  | { readonly transport: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsFiles | undefined }
  | {
      readonly transport: 'ssh';
      /** `host` or `user@host`, as ssh takes it. */
      readonly destination: string;
      readonly port?: number | undefined;
      /** Of the engine, on that host. */
      readonly socket: string;
    };

/** PEM files as Docker lays them out; the key pair is missing where the server asks for no client certificate. */
export interface TlsFiles {
  readonly ca: string;
  readonly keyPair?: { readonly cert: string; readonly key: string } | undefined;
}

export interface EngineEndpoint {
  readonly address: EngineAddress;
  /** How it was found, for people: `DOCKER_HOST`, `rootful socket`. */
  readonly origin: string;
  /** The engine's own address, where `address` is a way of this host that leads there. */
  readonly leadsTo?: EngineAddress | undefined;
}

/** Ports registered for Docker without and with TLS. */
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

/** The three files in a folder such as `DOCKER_CERT_PATH`. */
export function tlsFilesIn(folder: string): TlsFiles {
  return { ca: `${folder}/ca.pem`, keyPair: { cert: `${folder}/cert.pem`, key: `${folder}/key.pem` } };
}

/**
 * The address that a URL or an absolute socket path names.
 *
 * @param origin where the text stands, for the error: `--engine`, `DOCKER_HOST`
 * @throws KvciError `bad-engine-url`
 */
export function parseEngineUrl(text: string, origin: string, tls?: TlsFiles): EngineAddress {
  if (text.startsWith('/')) return { transport: 'unix', path: text };
  const unix = /^unix:\/\/(\/.+)$/.exec(text)?.[1];
  if (unix !== undefined) return { transport: 'unix', path: unix };
  if (text.startsWith('ssh://')) return parseSsh(text, origin);
  const url = /^(?:tcp|https?):\/\//.test(text) && URL.canParse(text) ? new URL(text.replace(/^tcp:/, 'http:')) : undefined;
  if (url === undefined || url.hostname === '' || (url.pathname !== '/' && url.pathname !== '')) {
    throw badUrl(
      text,
      origin,
      'is not the address of a container engine',
      'Write unix:///run/docker.sock, /run/podman/podman.sock, tcp://HOST:PORT or ssh://USER@HOST.',
    );
  }
  const secure = tls !== undefined || url.protocol === 'https:' || url.port === String(TLS_PORT);
  if (secure && tls === undefined) {
    throw badUrl(
      text,
      origin,
      'asks for TLS, but there are no certificates',
      'Set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem.',
    );
  }
  // URL leaves out the port that is its scheme's default.
  const scheme = url.protocol === 'https:' ? 443 : 80;
  const port = /:\d+\/?$/.test(text) ? Number(url.port === '' ? scheme : url.port) : secure ? TLS_PORT : PLAIN_PORT;
  return { transport: 'tcp', host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port, tls };
}

/** Where Docker listens; Podman's address names its own. */
const REMOTE_SOCKET = '/var/run/docker.sock';

/** `ssh://[USER@]HOST[:PORT][/SOCKET]`, as Docker and Podman write it. A name that begins with "-" would be an option of ssh. */
function parseSsh(text: string, origin: string): EngineAddress {
  const [, user, host, port, socket] =
    /^ssh:\/\/(?:([\w.][\w.-]*)@)?(\w[\w.-]*|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?(\/[\w./+-]*)?$/.exec(text) ?? [];
  if (host === undefined) {
    throw badUrl(
      text,
      origin,
      'is not the address of a container engine',
      'Write ssh://USER@HOST:PORT/SOCKET; user, port and socket may be left out.',
    );
  }
  const name = host.replace(/^\[(.*)\]$/, '$1');
  return {
    transport: 'ssh',
    destination: user === undefined ? name : `${user}@${name}`,
    port: port === undefined ? undefined : Number(port),
    socket: socket === undefined || socket === '/' ? REMOTE_SOCKET : socket,
  };
}

/** The host that an engine is on, for people, where that is another than this one; a loopback's own engine may be in a machine, too. */
export function otherHost(address: EngineAddress): string | undefined {
  if (address.transport === 'ssh') return address.destination;
  return address.transport === 'tcp' && !isLoopback(address.host) ? address.host : undefined;
}

/** Whether a name or an address is one of a host's loopback. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d+){3}$/.test(host);
}

/** Whether two addresses lead to one engine: credentials, and where certificates lie, make no other of it. */
export function sameEngine(one: EngineAddress | undefined, other: EngineAddress | undefined): boolean {
  return (one && showAddress(one)) === (other && showAddress(other));
}

/** The address for people, without credentials. */
export function showAddress(address: EngineAddress): string {
  if (address.transport === 'unix') return `unix://${address.path}`;
  if (address.transport === 'ssh') {
    const port = address.port === undefined ? '' : `:${address.port}`;
    return `ssh://${address.destination}${port}${address.socket}`;
  }
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `tcp://${host}:${address.port}`;
}

function badUrl(text: string, origin: string, problem: string, hint: string): KvciError {
  return new KvciError('usage', 'bad-engine-url', `${origin}: "${maskUrl(text)}" ${problem}`, {
    hint,
    facts: { origin },
  });
}
