import { KvciError, throwIfCancelled } from '../../core/errors.ts';
import { maskUrl, Secret } from '../../core/secrets.ts';
import type { Http, HttpRequest, HttpResponse } from '../http.ts';
import { type Client, createClient, type DownloadSettings, send } from './undici-downloads.ts';

/** How long a server may be silent. */
const SILENCE_MS = 60_000;

/** HTTP(S) by the same client as downloads. */
export function undiciHttp(settings: Omit<DownloadSettings, 'retryDelayMs'>): Http {
  let client: Client | undefined;
  return {
    send: async (request) => {
      if (settings.offline) {
        const url = maskUrl(request.url);
        throw new KvciError('failed', 'offline', `${url} would be asked, and --offline asks nothing of the network`, { facts: { url } });
      }
      client ??= createClient(settings);
      try {
        return await exchange(client, request);
      } catch (error) {
        throwIfCancelled(request.signal);
        throw error;
      }
    },
  };
}

async function exchange(client: Client, { method, url, headers = {}, body, signal }: HttpRequest): Promise<HttpResponse> {
  const plain = Object.entries(headers).map(([name, value]) => [name, value instanceof Secret ? value.reveal() : value] as const);
  const response = await send(url, {
    method,
    dispatcher: client,
    headers: { 'user-agent': 'kvci', ...Object.fromEntries(plain) },
    headersTimeout: SILENCE_MS,
    bodyTimeout: SILENCE_MS,
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  });
  const received = Object.entries(response.headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value] as const],
  );
  return { status: response.statusCode, headers: Object.fromEntries(received), body: response.body };
}
