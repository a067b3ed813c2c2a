import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { refineBy } from '../core/refine.ts';
import { REGISTRY_NAME, REGISTRY_PORT } from '../machine/net/registry-name.ts';
import { parseReference } from '../oci/reference.ts';

/** The name and port by which nodes know the registry beside them. */
export const REGISTRY_HOST = `${REGISTRY_NAME}:${REGISTRY_PORT}`;

/** In place of a host: certificates for whatever is a mirror. */
export const ALL_MIRRORS = '*';

/** What a cluster knows of registries: options of it. */
export const registryOptionsShape = {
  registry: z
    .boolean()
    .optional()
    .describe('A registry beside the cluster: pushed to at a port of localhost, pulled in the cluster as registry:5000'),
  mirrors: z
    .record(z.string().check(refineBy((text) => parseRegistryHost(text))), z.string().check(refineBy((text) => parseMirror(text))))
    .default({})
    .describe('Registries and the address of a mirror that nodes ask first, such as docker.io: https://mirror.example:5000'),
  cas: z
    .record(z.union([z.literal(ALL_MIRRORS), z.string().check(refineBy((text) => parseRegistryHost(text)))]), z.string().min(1))
    .default({})
    .describe('Registries and a file with the PEM certificates that theirs may be signed by; "*" for all mirrors'),
};

/** A registry as references name it. @throws KvciError `bad-registry` */
export function parseRegistryHost(text: string): string {
  try {
    // A registry is what stands before a repository.
    if (/^[^/\s]+$/.test(text) && parseReference(`${text}/repository`).registry === text) return text;
  } catch {
    // Said below, of the host.
  }
  throw new KvciError('usage', 'bad-registry', `"${text}" is not a registry such as docker.io or registry.example:5000`);
}

/** The address of a mirror. @throws KvciError `bad-mirror` */
export function parseMirror(text: string): string {
  const url = /^https?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.username === '' && url.password === '' && url.search === '' && url.hash === '') return text;
  throw new KvciError('usage', 'bad-mirror', `"${text}" is not the address of a mirror`, {
    hint: 'Write http://HOST:PORT or https://HOST, without a name or password in it.',
  });
}

/** Reads `HOST=URL` words of `--mirror`. @throws KvciError `bad-flag` */
export function parseMirrorFlags(words: readonly string[]): Readonly<Record<string, string>> {
  return onceEach(
    '--mirror',
    words.map((word) => {
      const equals = word.indexOf('=');
      if (equals > 0) return [word.slice(0, equals), word.slice(equals + 1)] as const;
      throw new KvciError('usage', 'bad-flag', `--mirror: "${word}" is not of the form HOST=URL`, { facts: { flag: '--mirror' } });
    }),
  );
}

/** Reads `FILE` and `HOST=FILE` words of `--ca`. @param absolute makes a path absolute @throws KvciError `bad-flag` */
export function parseCaFlags(words: readonly string[], absolute: (path: string) => string): Readonly<Record<string, string>> {
  return onceEach(
    '--ca',
    words.map((word) => {
      const [, host = ALL_MIRRORS, path = word] = /^([^=/]+)=(.+)$/.exec(word) ?? [];
      return [host, absolute(path)] as const;
    }),
  );
}

function onceEach(flag: string, entries: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  const [twice] = entries.find(([host], at) => entries.findIndex(([other]) => other === host) < at) ?? [];
  if (twice === undefined) return Object.fromEntries(entries);
  const whose = twice === ALL_MIRRORS ? 'all mirrors' : `"${twice}"`;
  throw new KvciError('usage', 'bad-flag', `${flag}: it is given twice for ${whose}`, {
    hint: flag === '--ca' ? 'A file may hold several certificates.' : 'A registry has one mirror.',
    facts: { flag },
  });
}
