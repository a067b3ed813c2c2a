import type { Readable } from 'node:stream';

import type { Secret } from '../core/secrets.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string | Secret>>;
  readonly body?: string | Uint8Array | Readable;
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names; several headers of one name are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** Must be read or destroyed. */
  readonly body: Readable;
}

/**
 * HTTP(S) with the host's proxies and private CAs, for protocols that need more than a download. Redirects are followed, without
 * credentials to another host; nothing is retried and every status is an answer.
 */
export interface Http {
  /** @throws KvciError `offline`, `cancelled`; errors of node for connections that fail */
  send(request: HttpRequest): Promise<HttpResponse>;
}
