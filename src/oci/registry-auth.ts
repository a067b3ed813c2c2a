import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { Secret } from '../core/secrets.ts';
import type { RegistryAuth } from '../host/engine/credentials.ts';
import type { Http } from '../host/http.ts';
import { parse } from './schemas.ts';
import { readAll } from './streams.ts';

/** What a registry asks for in `WWW-Authenticate`. */
export type Challenge =
  { readonly scheme: 'basic' } | { readonly scheme: 'bearer'; readonly realm: string; readonly service?: string; readonly scope?: string };

/**
 * The first challenge of a header that kvci can answer; bearer before basic.
 * Source: RFC 9110, section 11.6.1; https://distribution.github.io/distribution/spec/auth/token/
 */
export function parseChallenge(header: string): Challenge | undefined {
  const bearer = /(?:^|,)\s*bearer\s+(.*)/is.exec(header)?.[1];
  if (bearer !== undefined) {
    const parameters = Object.fromEntries(
      Array.from(bearer.matchAll(/([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi), ([, name = '', quoted, plain]) => [
        name.toLowerCase(),
        quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '',
      ]),
    );
    const { realm, service, scope } = parameters as Partial<Record<string, string>>;
    if (realm !== undefined)
      return { scheme: 'bearer', realm, ...(service === undefined ? {} : { service }), ...(scope === undefined ? {} : { scope }) };
  }
  return /(?:^|,)\s*basic(?:\s|,|$)/i.test(header) ? { scheme: 'basic' } : undefined;
}

export function basicHeader({ username, password }: { readonly username: string; readonly password: Secret }): Secret {
  return new Secret(`Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`);
}

const tokenAnswer = z.looseObject({ token: z.string().optional(), access_token: z.string().optional() });

/**
 * A token for a scope from the token server that a registry names.
 *
 * @throws KvciError `registry-denied`, `registry-failed`
 */
export async function fetchToken(
  http: Http,
  challenge: Extract<Challenge, { readonly scheme: 'bearer' }>,
  scope: string,
  credentials: RegistryAuth | undefined,
  signal?: AbortSignal,
): Promise<Secret> {
  const realm = URL.parse(challenge.realm);
  if (realm === null || !(realm.protocol === 'https:' || (realm.protocol === 'http:' && isLocal(realm.host))))
    throw new KvciError('failed', 'registry-failed', `the registry names a token server that cannot be trusted: ${challenge.realm}`);
  const fields = { ...(challenge.service === undefined ? {} : { service: challenge.service }), scope };
  const refresh = credentials?.kind === 'identity-token';
  if (!refresh) for (const [name, value] of Object.entries(fields)) realm.searchParams.append(name, value);
  const base = signal === undefined ? {} : { signal };
  const response = refresh
    ? await http.send({
        ...base,
        method: 'POST',
        url: realm.href,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({
          ...fields,
          grant_type: 'refresh_token',
          client_id: 'kvci',
          refresh_token: credentials.token.reveal(),
        }).toString(),
      })
    : await http.send({
        ...base,
        method: 'GET',
        url: realm.href,
        headers: credentials === undefined ? {} : { authorization: basicHeader(credentials) },
      });
  const body = await readAll(response.body);
  if (response.status === 401 || response.status === 403) throw denied(realm.host, credentials !== undefined);
  if (response.status !== 200)
    throw new KvciError('failed', 'registry-failed', `the token server ${realm.host} answered ${response.status}`, {
      facts: { status: response.status },
    });
  const answer = parse(tokenAnswer, body, `the answer of the token server ${realm.host}`);
  const token = answer.token ?? answer.access_token;
  if (token === undefined) throw new KvciError('failed', 'registry-failed', `the token server ${realm.host} gave no token`);
  return new Secret(token);
}

export function denied(host: string, withCredentials: boolean): KvciError {
  return new KvciError(
    'failed',
    'registry-denied',
    `${host} refuses access${withCredentials ? ' with the credentials of this host' : ''}`,
    {
      hint: `Log in with "docker login ${host}" or "podman login ${host}"; a registry may also answer so for an image that does not exist.`,
      facts: { registry: host, withCredentials },
    },
  );
}

/** True for names of this host, where plain HTTP is safe. */
export function isLocal(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/.test(host);
}
