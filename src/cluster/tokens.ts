import { randomBytes, randomInt } from 'node:crypto';

import { Secret } from '../core/secrets.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A bootstrap token as Kubernetes wants it: `[a-z0-9]{6}.[a-z0-9]{16}`. */
export function bootstrapToken(): Secret {
  const word = (length: number): string => Array.from({ length }, () => LETTERS[randomInt(LETTERS.length)]).join('');
  return new Secret(`${word(6)}.${word(16)}`);
}

/** The part of a bootstrap token that is no secret: what is signed with the token is found by it. */
export function tokenId(token: Secret): string {
  return token.reveal().split('.')[0] ?? '';
}

/** The key that encrypts the certificates of a control plane on their way to the next: an AES-256 key in hexadecimal. */
export function certificateKey(): Secret {
  return new Secret(randomBytes(32).toString('hex'));
}

/** Tells one life of a cluster from the next of the same name. */
export function runId(): string {
  return randomBytes(6).toString('hex');
}
