import { createHash } from 'node:crypto';

/** `sha256:` and 64 lower-case hex digits, as OCI writes it. */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** The first 12 hex digits: enough for people, never for machines. */
export function shortDigest(digest: Digest): string {
  return hexOf(digest).slice(0, 12);
}

/** A value that JSON can carry and that has one canonical form. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** JSON with sorted keys, no white space and absent keys left out: equal values give equal bytes. */
export function canonicalJson(value: Json): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** The key of a record of inputs: the digest of its canonical JSON. */
export function digestOf(value: Json): Digest {
  return sha256(canonicalJson(value));
}
