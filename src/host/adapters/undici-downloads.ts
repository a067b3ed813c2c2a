import pRetry from 'p-retry';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { getCACertificates } from 'node:tls';
import { type Dispatcher, EnvHttpProxyAgent, errors, interceptors, request as send } from 'undici';

import type { Digest } from '../../core/digest.ts';
import { hasErrno, KvciError, messageOf, throwIfCancelled } from '../../core/errors.ts';
import { maskUrl, Secret } from '../../core/secrets.ts';
import { asDiskFull, temporaryName } from '../files.ts';
import type { DownloadRequest, Downloads } from '../types.ts';
import { isUntrusted, TRUST_HINT } from '../untrusted.ts';

/** The library has this one place; the adapter of the registry protocol uses it through here. */
export { send };
export type Client = Dispatcher;

export interface DownloadSettings {
  /** Asks nothing of the network. */
  readonly offline: boolean;
  /** Values of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
  readonly httpProxy?: string | undefined;
  readonly httpsProxy?: string | undefined;
  readonly noProxy?: string | undefined;
  /** The wait before the first retry, in milliseconds; doubled for each further one. */
  readonly retryDelayMs?: number;
}

const RETRIES = 4;
const MAX_REDIRECTS = 10;
/** Connections to one server at the same time; further downloads from it wait. */
const CONNECTIONS_PER_HOST = 8;
const CONNECT_TIMEOUT_MS = 20_000;
/** How long a server may be silent. */
const SILENCE_MS = 60_000;

/** A failure that may go away by itself. */
class TransientError extends Error {}

/** HTTP(S) by undici, which knows proxies, pools and time limits. */
export function undiciDownloads(settings: DownloadSettings): Downloads {
  return new UndiciDownloads(settings);
}

class UndiciDownloads implements Downloads {
  readonly #settings: DownloadSettings;
  #client: Dispatcher | undefined;

  constructor(settings: DownloadSettings) {
    this.#settings = settings;
  }

  text(request: DownloadRequest): Promise<string> {
    return this.#withRetries(request, async () => {
      const chunks: Buffer[] = [];
      await this.#receive(request, async (body) => {
        for await (const chunk of body) chunks.push(chunk);
      });
      return Buffer.concat(chunks).toString('utf8');
    });
  }

  async file(request: DownloadRequest, path: string): ReturnType<Downloads['file']> {
    const temporary = temporaryName(path);
    try {
      const received = await this.#withRetries(request, () =>
        this.#receive(request, (body) => pipeline(body, createWriteStream(temporary))),
      );
      await rename(temporary, path);
      return received;
    } catch (error) {
      await rm(temporary, { force: true });
      throw asDiskFull(error, path);
    }
  }

  async answers(url: string, signal?: AbortSignal): Promise<boolean> {
    if (this.#settings.offline) return false;
    const base = { url, ...(signal === undefined ? {} : { signal }) };
    try {
      const head = await this.#send(base, 'HEAD');
      await head.body.dump();
      if (head.statusCode !== 405 && head.statusCode !== 501) return isSuccess(head.statusCode);
      const get = await this.#send({ ...base, headers: { range: 'bytes=0-0' } }, 'GET');
      get.body.on('error', () => undefined).destroy();
      return isSuccess(get.statusCode);
    } catch (error) {
      throwIfCancelled(signal);
      if (isFailure(error)) return false;
      throw error;
    }
  }

  async #withRetries<Result>(request: DownloadRequest, attempt: () => Promise<Result>): Promise<Result> {
    const url = maskUrl(request.url);
    if (this.#settings.offline) {
      throw new KvciError('failed', 'offline', `${url} is not in the cache, and --offline asks nothing of the network`, {
        hint: 'Run the command once without --offline, or pick inputs that are in the cache.',
        facts: { url },
      });
    }
    try {
      return await pRetry(attempt, {
        retries: RETRIES,
        minTimeout: this.#settings.retryDelayMs ?? 500,
        shouldRetry: ({ error }) => error instanceof TransientError || isTransient(error),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (error) {
      throwIfCancelled(request.signal);
      if (hasErrno(error, 'ENOSPC', 'EDQUOT') || !isFailure(error)) throw error;
      throw new KvciError('failed', 'download-failed', `cannot download ${url}: ${reasonOf(error)}`, {
        ...(isUntrusted(error) ? { hint: TRUST_HINT } : {}),
        facts: { url },
        cause: error,
      });
    }
  }

  /** One attempt: hands the body of a successful answer to `use`, counting and checking what passes. */
  async #receive(
    request: DownloadRequest,
    use: (body: AsyncIterable<Buffer>) => Promise<void>,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { statusCode, headers, body } = await this.#send(request, 'GET');
    if (!isSuccess(statusCode)) {
      await body.dump();
      throw refusal(maskUrl(request.url), statusCode);
    }
    const length = Number(headers['content-length'] ?? Number.NaN);
    const hash = createHash('sha256');
    let size = 0;
    const counted = async function* (source: Readable): AsyncGenerator<Buffer> {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        hash.update(chunk);
        size += chunk.length;
        request.onProgress?.(size, Number.isNaN(length) ? undefined : length);
        yield chunk;
      }
    };
    await use(counted(body));
    const digest = `sha256:${hash.digest('hex')}` satisfies Digest;
    if (request.sha256 !== undefined && digest !== request.sha256) {
      throw new KvciError('failed', 'checksum-mismatch', `${maskUrl(request.url)} is not the file that was expected`, {
        hint: `Expected ${request.sha256}, got ${digest}. A proxy may have changed it, or it was replaced where it is served.`,
        facts: { url: maskUrl(request.url), expected: request.sha256, actual: digest },
      });
    }
    return { digest, size };
  }

  #send(request: DownloadRequest, method: 'GET' | 'HEAD'): Promise<Dispatcher.ResponseData> {
    const { address, authorization } = splitCredentials(request.url);
    const headers = Object.entries(request.headers ?? {}).map(
      ([name, value]) => [name, value instanceof Secret ? value.reveal() : value] as const,
    );
    this.#client ??= createClient(this.#settings);
    return send(address, {
      method,
      dispatcher: this.#client,
      headers: { 'user-agent': 'kvci', ...authorization, ...Object.fromEntries(headers) },
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
  }
}

/** A client with the host's proxies and CAs. */
export function createClient(settings: Pick<DownloadSettings, 'httpProxy' | 'httpsProxy' | 'noProxy'>): Dispatcher {
  const tls = { ca: [...new Set([...getCACertificates('default'), ...getCACertificates('system')])], timeout: CONNECT_TIMEOUT_MS };
  return new EnvHttpProxyAgent({
    // Empty rather than absent: undici reads the environment itself for what is absent.
    httpProxy: settings.httpProxy ?? '',
    httpsProxy: settings.httpsProxy ?? '',
    noProxy: settings.noProxy ?? '',
    // Plain HTTP goes to the proxy as it is: many proxies open tunnels (CONNECT) to port 443 only.
    proxyTunnel: false,
    connections: CONNECTIONS_PER_HOST,
    connect: tls,
    requestTls: tls,
    proxyTls: tls,
  }).compose(interceptors.redirect({ maxRedirections: MAX_REDIRECTS }));
}

/** A URL's user and password as the header that carries them: undici sends none for those in a URL. */
function splitCredentials(text: string): { readonly address: URL; readonly authorization: Readonly<Record<string, string>> } {
  const address = URL.parse(text);
  if (address === null || !['http:', 'https:'].includes(address.protocol)) {
    throw new KvciError('usage', 'bad-url', `"${maskUrl(text)}" is not an http or https URL`);
  }
  if (address.username === '' && address.password === '') return { address, authorization: {} };
  const credentials = `${decodeURIComponent(address.username)}:${decodeURIComponent(address.password)}`;
  address.username = '';
  address.password = '';
  return { address, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } };
}

function refusal(url: string, status: number): Error {
  if (status >= 500 || status === 408 || status === 429) return new TransientError(`the server answered ${status}`);
  const facts = { url, status };
  if (status === 404 || status === 410 || status === 403) {
    return new KvciError('notFoundOrExists', 'not-served', `${url} is not served (${status})`, { facts });
  }
  return new KvciError('failed', 'download-failed', `cannot download ${url}: the server answered ${status}`, {
    ...(status === 401 || status === 407 ? { hint: 'The server or proxy asks for a user and password.' } : {}),
    facts,
  });
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** A connection that broke or a server that fell silent; a name that does not resolve or a port that refuses is an answer. */
function isTransient(error: unknown): boolean {
  return (
    hasErrno(error, 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN') ||
    error instanceof errors.SocketError ||
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError ||
    error instanceof errors.ResponseContentLengthMismatchError
  );
}

/** A failure of the network, the system or the server, told from mistakes of the code. */
function isFailure(error: unknown): boolean {
  return error instanceof TransientError || (error instanceof Error && !(error instanceof KvciError) && 'code' in error);
}

function reasonOf(error: unknown): string {
  const text = error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error);
  return text.replaceAll(/[a-z][a-z0-9+.-]*:\/\/\S+/gi, maskUrl);
}
