import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { refineBy } from '../core/refine.ts';
import { parseSize } from '../core/sizes.ts';
import { parseReference } from '../oci/reference.ts';
import { parseKarg } from './kargs.ts';
import { CONVERTERS, DISK_FORMATS, type DiskOptions, FILESYSTEMS } from './types.ts';

const MIB = 2 ** 20;

/** What a disk is asked to be: the flags of `kvci disk build` and the `disk` section of kvci.yaml, one schema for both. */
export const diskOptionsSchema = z.strictObject({
  format: z.enum(DISK_FORMATS).default('qcow2').describe('Format of the file: qcow2 (compressed) or raw (sparse)'),
  converter: z
    .enum(['auto', ...CONVERTERS])
    .default('auto')
    .describe('What makes the disk; auto takes the first that can and says why'),
  converterImage: z
    .string()
    .check(refineBy((text) => parseReference(text)))
    .optional()
    .describe('Where a converter that is a container comes from, best by digest; by default where it is published'),
  size: z
    .string()
    .check(refineBy((text) => parseSize(text)))
    .default('10G')
    .describe('Size of the virtual disk'),
  filesystem: z.enum(FILESYSTEMS).default('ext4').describe('Root file system; xfs through the converters that are containers only'),
  kargs: z
    .array(z.string().check(refineBy((text) => parseKarg(text))))
    .default([])
    .describe('Kernel arguments to add'),
});

export type DiskSettings = z.output<typeof diskOptionsSchema>;

/** @param sshKeys lines of authorized_keys */
export function diskOptions({ format, size, filesystem, kargs, converterImage }: DiskSettings, sshKeys: readonly string[]): DiskOptions {
  return {
    format,
    filesystem,
    kargs,
    sshKeys,
    size: Math.ceil(parseSize(size) / MIB) * MIB,
    ...(converterImage === undefined ? {} : { converterImage }),
  };
}

/** https://man.openbsd.org/sshd.8#AUTHORIZED_KEYS_FILE_FORMAT, without options before the type. */
const PUBLIC_KEY = /^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]{20,}={0,3}( .*)?$/;

/**
 * The public keys of a file, as ssh-keygen writes it; empty lines and comments are left out.
 *
 * @throws KvciError `not-a-public-key`
 */
export function parsePublicKeys(text: string, file: string): readonly string[] {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.length > 0 && lines.every((line) => PUBLIC_KEY.test(line))) return lines;
  throw new KvciError('usage', 'not-a-public-key', `--ssh-key: ${file} holds no public key`, {
    hint: text.includes('PRIVATE KEY') ? `It is a private key: give ${file}.pub.` : 'Give a file as ssh-keygen writes it, ending in .pub.',
    facts: { flag: '--ssh-key' },
  });
}
