import { KvciError, messageOf } from '../core/errors.ts';

/** A repository's public keys as their owner publishes them, ASCII-armoured, and where they came from for errors. */
export interface RepositoryKey {
  readonly armored: string;
  readonly url: string;
}

/**
 * The text of a clear-signed file (`InRelease`) if one of the keys signed it.
 *
 * @throws KvciError `bad-signature`, `bad-key`
 */
export async function verifiedText(signed: string, url: string, key: RepositoryKey): Promise<string> {
  const { readCleartextMessage, verify } = await import('openpgp');
  const message = await reading(url, () => readCleartextMessage({ cleartextMessage: signed }));
  const { signatures } = await verify({ message, verificationKeys: (await readKeys(key)).map((one) => one.toPublic()) });
  await oneIsGood(signatures, url, key);
  return message.getText();
}

/** Checks a detached, ASCII-armoured signature. @throws KvciError `bad-signature`, `bad-key` */
export async function verifyDetached(text: string, armored: string, url: string, key: RepositoryKey): Promise<void> {
  const { createMessage, readSignature, verify } = await import('openpgp');
  const signature = await reading(url, () => readSignature({ armoredSignature: armored }));
  const message = await createMessage({ binary: Buffer.from(text) });
  const { signatures } = await verify({ message, signature, verificationKeys: (await readKeys(key)).map((one) => one.toPublic()) });
  await oneIsGood(signatures, url, key);
}

/** Fingerprints of the keys, upper-case hex. @throws KvciError `bad-key` */
export async function fingerprints(key: RepositoryKey): Promise<readonly string[]> {
  return (await readKeys(key)).map((one) => one.getFingerprint().toUpperCase());
}

async function readKeys({ armored, url }: RepositoryKey) {
  const { readKeys: read } = await import('openpgp');
  try {
    return await read({ armoredKeys: armored });
  } catch (cause) {
    throw new KvciError('failed', 'bad-key', `${url} holds no OpenPGP key: ${messageOf(cause)}`, { cause });
  }
}

async function reading<T>(url: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new KvciError('failed', 'bad-signature', `${url} holds no OpenPGP signature: ${messageOf(cause)}`, { cause });
  }
}

async function oneIsGood(signatures: readonly { readonly verified: Promise<true> }[], url: string, key: RepositoryKey): Promise<void> {
  const outcomes = await Promise.allSettled(signatures.map((signature) => signature.verified));
  if (outcomes.some(({ status }) => status === 'fulfilled')) return;
  const why = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [messageOf(outcome.reason)] : []));
  throw new KvciError(
    'failed',
    'bad-signature',
    `${url} is not signed by the key of ${key.url}: ${why.join('; ') || 'it has no signature'}`,
    {
      hint: 'Somebody changed the repository on its way, or its key: do not use it before you know which.',
    },
  );
}
