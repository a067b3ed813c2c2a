/** A value that must not be printed: it shows as `***` and is read only through {@link reveal}. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return 'Secret(***)';
  }
}

/** Replaces every secret in a text by `***`; short secrets (under 4 characters) would eat ordinary text and are left alone. */
export function maskSecrets(text: string, secrets: Iterable<Secret>): string {
  let masked = text;
  for (const secret of secrets) {
    const value = secret.reveal();
    if (value.length >= 4) masked = masked.replaceAll(value, '***');
  }
  return masked;
}

/** Hides user and password of a URL (`https://user:pw@host` becomes `https://***@host`). */
export function maskUrl(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]+@/i, '$1***@');
}
