import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { refineBy } from '../core/refine.ts';
import { parseVersionRequest } from '../core/versions.ts';
import { parseReference } from '../oci/reference.ts';
import { parsePreload } from './preload-list.ts';
import { PAYLOAD_SOURCES } from '../payload/types.ts';

const ARCHITECTURES = ['amd64', 'arm64'] as const;

/** A file put into the image by `--file SRC:DST`. */
export interface ExtraFile {
  readonly source: string;
  /** Absolute path in the image. */
  readonly destination: string;
}

/**
 * What makes up a node image: the flags of `kvci image build` and the `image` section of kvci.yaml, one schema for both.
 * Defaults that depend on the host (architecture) are filled in by the caller.
 */
export const imageOptionsSchema = z.strictObject({
  k8s: z
    .string()
    .check(refineBy((text) => parseVersionRequest(text)))
    .describe('Kubernetes version: a minor (1.31), a full version (1.31.4) or "stable"'),
  base: z
    .string()
    .min(1)
    .default('debian-13')
    .describe('Distribution (debian-13, centos-stream-9, centos-stream-10, fedora-NN) or an image reference'),
  payload: z
    .string()
    .check(refineBy((text) => parsePayloadOption(text)))
    .default('auto')
    .describe('Where Kubernetes comes from: auto, packages, release, modules or dir:PATH'),
  arch: z.enum(ARCHITECTURES).optional().describe('Architecture of the image; the host’s by default'),
  tags: z
    .array(z.string().check(refineBy((text) => parseTag(text))))
    .default([])
    .describe('References to tag the image with'),
  // A key is one word: https://github.com/opencontainers/image-spec/blob/main/annotations.md#rules asks for names like domains.
  labels: z
    .record(
      z.string().regex(/^[!-<>-~]+$/, 'the key of a label is printable ASCII without spaces and "="'),
      z.string().regex(/^[^\n\r\0]*$/, 'the value of a label has one line'),
    )
    .default({})
    .describe('Labels to add'),
  packages: z
    .array(z.string().regex(/^[a-z0-9][a-zA-Z0-9+._-]*$/, 'not a package name'))
    .default([])
    .describe('Packages to add'),
  files: z
    .array(z.string().check(refineBy((text) => parseExtraFile(text))))
    .default([])
    .describe('Files to add, each SRC:DST'),
  // Optional, not empty: it would stand in every provenance.
  preload: z
    .array(z.string().check(refineBy((text) => parsePreload(text))))
    .optional()
    .describe('Images to preload beside those of the control plane, each NAME:TAG@sha256:DIGEST'),
  kernel: z
    .string()
    .regex(/^[a-z0-9][a-z0-9+._-]*$/, 'not a package name')
    .optional()
    .describe('Kernel package instead of the distribution’s default'),
});

export type ImageOptions = z.output<typeof imageOptionsSchema>;

export type PayloadOption =
  { readonly kind: 'auto' } | { readonly kind: 'source'; readonly source: (typeof PAYLOAD_SOURCES)[number]; readonly path?: string };

/**
 * Reads `auto`, `packages`, `release`, `modules` or `dir:PATH`.
 *
 * @throws KvciError `bad-payload`
 */
export function parsePayloadOption(text: string): PayloadOption {
  if (text === 'auto') return { kind: 'auto' };
  if (text.startsWith('dir:') && text.length > 'dir:'.length) return { kind: 'source', source: 'dir', path: text.slice('dir:'.length) };
  const source = PAYLOAD_SOURCES.find((name) => name === text);
  if (source !== undefined && source !== 'dir') return { kind: 'source', source };
  throw new KvciError('usage', 'bad-payload', `"${text}" is not a payload source`, {
    hint: 'Use auto, packages, release, modules or dir:PATH.',
  });
}

/**
 * Reads `SRC:DST`; DST is absolute and outside of /var and /run, which are not part of an image.
 *
 * @throws KvciError `bad-file`
 */
export function parseExtraFile(text: string): ExtraFile {
  const colon = text.lastIndexOf(':');
  const source = text.slice(0, Math.max(colon, 0));
  const destination = text.slice(colon + 1);
  const problem =
    source === '' || !destination.startsWith('/') || destination.endsWith('/')
      ? 'is not of the form SRC:DST with an absolute DST'
      : destination.split('/').includes('..')
        ? 'has ".." in DST'
        : /^\/(var|run|tmp|proc|sys|dev)\//.test(destination)
          ? 'puts a file where an image keeps nothing (/var, /run, /tmp, /proc, /sys, /dev)'
          : undefined;
  if (problem === undefined) return { source, destination };
  throw new KvciError('usage', 'bad-file', `"${text}" ${problem}`, { hint: 'Example: --file ./motd:/etc/motd' });
}

/**
 * Checks a name to give to an image, before anything is built for it.
 *
 * @throws KvciError `bad-reference`
 */
function parseTag(text: string): void {
  if (parseReference(text).digest !== undefined)
    throw new KvciError('usage', 'bad-reference', `"${text}" names a digest, which an image is not tagged with`);
}
