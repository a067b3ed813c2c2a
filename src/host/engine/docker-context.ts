import { createHash } from 'node:crypto';

import { KvciError } from '../../core/errors.ts';
import { type EngineAddress, parseEngineUrl } from './endpoint.ts';

interface ContextFiles {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly readText: (path: string) => string | undefined;
  readonly exists: (path: string) => boolean;
}

/** Docker's configuration folder. */
export function contextFolder(env: Readonly<Record<string, string | undefined>>, home: string): string {
  const named = env['DOCKER_CONFIG'];
  return named === undefined || named === '' ? `${home}/.docker` : named;
}

/**
 * The endpoint of docker's current context: DOCKER_CONTEXT, else `currentContext` of its config.json; undefined for `default`,
 * which means the usual socket. A context's files stand under the SHA-256 of its name.
 *
 * @throws KvciError `bad-docker-context`, `bad-engine-url`
 */
export function contextEndpoint(files: ContextFiles): { readonly address: EngineAddress; readonly origin: string } | undefined {
  const folder = contextFolder(files.env, files.home);
  const name = contextName(files, `${folder}/config.json`);
  if (name === undefined || name === '' || name === 'default') return undefined;
  const id = createHash('sha256').update(name).digest('hex');
  const origin = `docker context "${name}"`;
  const meta = `${folder}/contexts/meta/${id}/meta.json`;
  const host = stringAt(parse(files.readText(meta) ?? missing(origin, meta), meta), 'Endpoints', 'docker', 'Host');
  if (host === undefined) throw badContext(`${meta} names no docker endpoint`);
  const tls = `${folder}/contexts/tls/${id}/docker`;
  if (!files.exists(`${tls}/ca.pem`)) return { address: parseEngineUrl(host, origin), origin };
  const keyPair = { cert: `${tls}/cert.pem`, key: `${tls}/key.pem` };
  const both = files.exists(keyPair.cert) && files.exists(keyPair.key);
  return { address: parseEngineUrl(host, origin, { ca: `${tls}/ca.pem`, keyPair: both ? keyPair : undefined }), origin };
}

function contextName(files: ContextFiles, config: string): string | undefined {
  const named = files.env['DOCKER_CONTEXT'];
  if (named !== undefined && named !== '') return named;
  // As docker does: DOCKER_HOST overrides the context that the configuration names.
  if ((files.env['DOCKER_HOST'] ?? '') !== '') return undefined;
  const text = files.readText(config);
  return text === undefined ? undefined : stringAt(parse(text, config), 'currentContext');
}

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badContext(`${file} is not JSON`);
  }
}

function stringAt(value: unknown, ...path: readonly string[]): string | undefined {
  const found = path.reduce<unknown>(
    (inner, key) => (inner !== null && typeof inner === 'object' ? (inner as Readonly<Record<string, unknown>>)[key] : undefined),
    value,
  );
  return typeof found === 'string' && found !== '' ? found : undefined;
}

function missing(origin: string, file: string): never {
  throw badContext(`${origin} does not exist (${file} is missing)`);
}

function badContext(problem: string): KvciError {
  return new KvciError('hostNotReady', 'bad-docker-context', problem, {
    hint: 'See "docker context ls"; "docker context use default" goes back to the usual socket.',
  });
}
