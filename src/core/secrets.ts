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

/**
 * Replaces every secret in a text by `***`, also where it is part of a URL; short secrets (under 4 characters) would eat
 * ordinary text and are left alone.
 */
export function maskSecrets(text: string, secrets: Iterable<Secret>): string {
  const forms = new Set([...secrets].map((secret) => secret.reveal()).flatMap((value) => [value, encodeURIComponent(value)]));
  // The longest first: one secret may be the beginning of another.
  const masked = [...forms].filter((form) => form.length >= 4).toSorted((a, b) => b.length - a.length);
  return masked.reduce((rest, form) => rest.replaceAll(form, '***'), text);
}

/** Hides user and password of every URL in a text (`https://user:pw@host` becomes `https://***@host`). */
export function maskUrl(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi, '$1***@');
}
