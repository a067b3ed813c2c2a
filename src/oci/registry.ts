import pRetry from 'p-retry';
import type { Readable } from 'node:stream';

import { type Digest, isDigest, sha256 } from '../core/digest.ts';
import { KvciError, messageOf, throwIfCancelled } from '../core/errors.ts';
import { Secret } from '../core/secrets.ts';
import type { RegistryAuth } from '../host/engine/credentials.ts';
import type { Http, HttpRequest, HttpResponse } from '../host/http.ts';
import { isUntrusted, TRUST_HINT } from '../host/untrusted.ts';
import { formatReference, type ImageReference } from './reference.ts';
import { basicHeader, denied, fetchToken, isLocal, parseChallenge } from './registry-auth.ts';
import { readAll } from './streams.ts';
import { type Descriptor, MEDIA_TYPES } from './types.ts';

export interface RegistrySettings {
  readonly http: Http;
  /** Credentials for `quay.io/org/name`; asked only when a registry wants some. */
  readonly credentials: (repository: string) => Promise<RegistryAuth | undefined>;
  /** Registries that are spoken to by plain HTTP; those of this host are where they do not speak HTTPS. */
  readonly insecure?: readonly string[];
  /** The wait before the first retry, in milliseconds; doubled for each further one. */
  readonly retryDelayMs?: number;
}

/** A manifest or an index as a registry serves it. */
export interface ServedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

const MANIFEST_TYPES = [
  MEDIA_TYPES.index,
  MEDIA_TYPES.manifest,
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

const RETRIES = 4;

/** A failure that may go away by itself. */
class TransientError extends Error {}

/**
 * One registry protocol client for a run: it keeps tokens in memory and nothing on disk.
 * Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export class RegistryClient {
  readonly #settings: RegistrySettings;
  /** Authorization by registry and scope. */
  readonly #authorizations = new Map<string, Secret>();
  readonly #schemes = new Map<string, Promise<'https' | 'http'>>();

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
  }

  /** What a tag names now. @throws KvciError `image-not-found`, `registry-denied`, `registry-failed`, `offline` */
  async resolve(reference: ImageReference, signal?: AbortSignal): Promise<Descriptor> {
    const response = await this.request(reference, 'pull', {
      method: 'HEAD',
      url: await this.url(reference, `manifests/${reference.digest ?? reference.tag ?? 'latest'}`),
      headers: { accept: MANIFEST_TYPES.join(', ') },
      ...(signal === undefined ? {} : { signal }),
    });
    response.body.resume();
    const digest = response.headers['docker-content-digest'] ?? '';
    const size = Number(response.headers['content-length'] ?? Number.NaN);
    // Both are optional in the specification.
    if (!isDigest(digest) || Number.isNaN(size)) return (await this.manifest(reference, signal)).descriptor;
    return { mediaType: mediaTypeOf(response), digest, size };
  }

  /** A manifest or an index, verified. @throws as {@link resolve}, and `digest-mismatch` */
  async manifest(reference: ImageReference, signal?: AbortSignal): Promise<ServedManifest> {
    const wanted = reference.digest ?? reference.tag ?? 'latest';
    const response = await this.request(reference, 'pull', {
      method: 'GET',
      url: await this.url(reference, `manifests/${wanted}`),
      headers: { accept: MANIFEST_TYPES.join(', ') },
      ...(signal === undefined ? {} : { signal }),
    });
    const bytes = await readAll(response.body);
    const digest = sha256(bytes);
    const expected = reference.digest ?? response.headers['docker-content-digest'];
    if (expected !== undefined && expected !== digest) {
      throw new KvciError(
        'failed',
        'digest-mismatch',
        `${formatReference(reference)} came with the digest ${digest}, expected ${expected}`,
        {
          facts: { expected, found: digest },
        },
      );
    }
    return { bytes, descriptor: { mediaType: mediaTypeOf(response), digest, size: bytes.length } };
  }

  /** The bytes of a blob, not verified. */
  async blob(reference: ImageReference, digest: Digest, signal?: AbortSignal): Promise<Readable> {
    const url = await this.url(reference, `blobs/${digest}`);
    return (await this.request(reference, 'pull', { method: 'GET', url, ...(signal === undefined ? {} : { signal }) })).body;
  }

  /**
   * One exchange with the registry of a reference, authorised as it asks.
   *
   * @throws KvciError `image-not-found` for 404, `registry-denied` for 401 and 403, `registry-failed` for everything else but
   * success and the statuses in `accept`; a TransientError for {@link RegistryClient.retry}
   */
  async request(
    reference: ImageReference,
    action: 'pull' | 'pull,push',
    request: HttpRequest,
    accept: readonly number[] = [],
  ): Promise<HttpResponse> {
    const scope = `repository:${reference.repository}:${action}`;
    const key = `${reference.registry} ${scope}`;
    const known = this.#authorizations.get(key);
    let response = await this.#exchange(reference, request, known);
    if (response.status === 401) {
      response.body.resume();
      // A stream can be sent once only: uploads are authorised by the request that opens them.
      const authorization = await this.#authorize(reference, scope, response.headers['www-authenticate'] ?? '', request.signal);
      this.#authorizations.set(key, authorization.header);
      response = await this.#exchange(reference, request, authorization.header);
      if (response.status === 401) {
        response.body.resume();
        throw denied(reference.registry, authorization.withCredentials);
      }
    }
    if ((response.status >= 200 && response.status < 300) || accept.includes(response.status)) return response;
    throw await refusal(reference, response);
  }

  async #exchange(reference: ImageReference, request: HttpRequest, authorization: Secret | undefined): Promise<HttpResponse> {
    // An upload may go to another host, by an address that carries its own permission.
    const own = authorization !== undefined && new URL(request.url).host === new URL(await this.url(reference, '')).host;
    const headers = { ...request.headers, ...(own ? { authorization } : {}) };
    return this.#settings.http.send({ ...request, headers });
  }

  async #authorize(
    reference: ImageReference,
    scope: string,
    header: string,
    signal?: AbortSignal,
  ): Promise<{ readonly header: Secret; readonly withCredentials: boolean }> {
    const challenge = parseChallenge(header);
    const credentials = await this.#settings.credentials(`${reference.registry}/${reference.repository}`);
    const withCredentials = credentials !== undefined;
    if (challenge?.scheme === 'bearer') {
      const token = await fetchToken(this.#settings.http, challenge, scope, credentials, signal);
      return { header: bearerHeader(token), withCredentials };
    }
    if (challenge?.scheme !== 'basic' || credentials?.kind !== 'password') throw denied(reference.registry, withCredentials);
    return { header: basicHeader(credentials), withCredentials };
  }

  /** Runs one step again when it failed in a way that may go away by itself. */
  async retry<T>(what: string, step: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await pRetry(step, {
        retries: RETRIES,
        minTimeout: this.#settings.retryDelayMs ?? 500,
        shouldRetry: ({ error }) => isTransient(error),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      throwIfCancelled(signal);
      if (error instanceof KvciError) throw error;
      throw new KvciError('failed', 'registry-failed', `cannot get ${what}: ${messageOf(error)}`, {
        ...(isUntrusted(error) ? { hint: TRUST_HINT } : {}),
        cause: error,
      });
    }
  }

  /** An address of the registry's API, below the reference's repository. */
  async url({ registry, repository }: ImageReference, path: string): Promise<string> {
    const scheme = this.#schemes.get(registry) ?? this.#schemeOf(registry);
    this.#schemes.set(registry, scheme);
    return `${await scheme}://${apiHost(registry)}/v2/${repository}/${path}`;
  }

  /** HTTPS, but for what is named insecure, and for a registry on this host that does not speak it. */
  async #schemeOf(registry: string): Promise<'https' | 'http'> {
    if (this.#settings.insecure?.includes(registry) === true) return 'http';
    if (!isLocal(registry)) return 'https';
    try {
      const { body } = await this.#settings.http.send({ method: 'GET', url: `https://${registry}/v2/` });
      body.destroy();
      return 'https';
    } catch (error) {
      if (error instanceof KvciError) throw error;
      return isUntrusted(error) ? 'https' : 'http';
    }
  }
}

/** Docker Hub's API has a host of its own. */
function apiHost(registry: string): string {
  return registry === 'docker.io' ? 'registry-1.docker.io' : registry;
}

function bearerHeader(token: Secret): Secret {
  return new Secret(`Bearer ${token.reveal()}`);
}

function mediaTypeOf(response: HttpResponse): string {
  return (response.headers['content-type'] ?? MEDIA_TYPES.manifest).replace(/\s*;.*$/, '');
}

/** An error for an answer that is none; the registry's own words are kept. */
async function refusal(reference: ImageReference, response: HttpResponse): Promise<Error> {
  const text = (await readAll(response.body).catch(() => Buffer.alloc(0))).toString('utf8').slice(0, 500).trim();
  const image = formatReference(reference);
  const facts = { image, status: response.status };
  if (response.status === 404)
    return new KvciError('notFoundOrExists', 'image-not-found', `${reference.registry} has no ${image}`, { facts });
  if (response.status === 403) return denied(reference.registry, true);
  const message = `${reference.registry} answered ${response.status} for ${image}${text === '' ? '' : `: ${text}`}`;
  if (response.status >= 500 || response.status === 408 || response.status === 429) return new TransientError(message);
  return new KvciError('failed', 'registry-failed', message, { facts });
}

/** Network errors of node and undici have codes; a name that does not resolve or a port that refuses is an answer. */
function isTransient(error: unknown): boolean {
  if (error instanceof TransientError) return true;
  return (
    error instanceof Error &&
    !(error instanceof KvciError) &&
    'code' in error &&
    !['ENOTFOUND', 'ECONNREFUSED', 'ENOSPC', 'EDQUOT', 'EACCES'].includes(String(error.code)) &&
    !isUntrusted(error)
  );
}
