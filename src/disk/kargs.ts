import { KvciError } from '../core/errors.ts';

/** What passes unchanged through the loader's entry, the boot loader and the kernel: no blanks, no quotes, nothing a shell reads. */
const KARG = /^[A-Za-z0-9_.,:=/@%+*()[\]-]+$/;

/** Set by who makes the disk. */
const RESERVED = /^(root|ostree|rootfstype)=/;

/**
 * Checks one kernel argument.
 *
 * @throws KvciError `bad-karg`
 */
export function parseKarg(text: string): string {
  if (!KARG.test(text)) {
    throw new KvciError('usage', 'bad-karg', `${JSON.stringify(text)} cannot be a kernel argument`, {
      hint: 'One argument a flag, without blanks and quotes: --karg systemd.unit=rescue.target --karg quiet',
    });
  }
  const reserved = RESERVED.exec(text)?.[1];
  if (reserved !== undefined) throw new KvciError('usage', 'bad-karg', `"${reserved}=" is set by the disk itself`);
  return text;
}
