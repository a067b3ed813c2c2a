import { type Digest, isDigest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';

/** Where an image is published; all parts in full, as `docker.io/library/debian:latest` for `debian`. */
export interface ImageReference {
  /** Host with port where one is given: `quay.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** Path in the registry: `library/debian`. */
  readonly repository: string;
  /** `latest` where the text has neither tag nor digest. */
  readonly tag?: string;
  readonly digest?: Digest;
}

const HOST = /^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)(?::\d{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const MAX_NAME = 255;

/**
 * An image reference as Docker and Podman users write it.
 *
 * Source of the grammar: https://github.com/distribution/reference/blob/main/reference.go; of the defaults: Docker's "familiar
 * names". Only sha256 digests are known.
 *
 * @throws KvciError `bad-reference`
 */
export function parseReference(text: string): ImageReference {
  const fail = (problem: string, hint = 'Write an image as quay.io/org/name:tag, name:tag or name@sha256:…'): KvciError =>
    new KvciError('usage', 'bad-reference', `"${text}" is not an image reference: ${problem}`, { hint });
  if (text === '') throw fail('it is empty');
  if (/^[a-z][a-z0-9+-]*:\/\//i.test(text)) throw fail('it is a URL', 'Leave out the scheme: quay.io/org/name:tag.');
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest))
    throw fail(`"${digest}" is not a sha256 digest`, 'A digest is "sha256:" followed by 64 hex digits.');
  const named = at === -1 ? text : text.slice(0, at);
  // A colon behind the last slash starts a tag; one before it a port.
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw fail(`"${tag}" is not a tag`, 'A tag has letters, digits, "_", "." and "-", at most 128.');
  const name = colon === -1 ? named : named.slice(0, colon);
  const { registry, repository } = splitName(name);
  if (!HOST.test(registry)) throw fail(`"${registry}" is not a registry host`);
  if (name.length > MAX_NAME) throw fail(`its name is longer than ${MAX_NAME} characters`);
  if (/^[0-9a-f]{64}$/.test(name)) throw fail('it looks like an image id', 'Put "sha256:" before a digest.');
  for (const component of repository.split('/')) {
    if (COMPONENT.test(component)) continue;
    if (component === '') throw fail('a part of its name is empty');
    if (/[A-Z]/.test(component))
      throw fail(`"${component}" has upper-case letters`, `Try ${text.replace(component, component.toLowerCase())}.`);
    throw fail(`"${component}" has characters that a name must not have`);
  }
  return {
    registry,
    repository,
    ...(tag !== undefined ? { tag } : digest === undefined ? { tag: 'latest' } : {}),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The first part is a registry when it looks like a host: it has a dot or a port, is `localhost` or has upper-case letters. */
function splitName(name: string): { readonly registry: string; readonly repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const isHost = slash !== -1 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const registry = isHost ? first : 'docker.io';
  const path = isHost ? name.slice(slash + 1) : name;
  if (registry !== 'docker.io' && registry !== 'index.docker.io') return { registry, repository: path };
  return { registry: 'docker.io', repository: path.includes('/') ? path : `library/${path}` };
}

/** The reference in full: what two spellings of the same image have in common. */
export function formatReference({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}
