import { XMLParser } from 'fast-xml-parser';
import { z } from 'zod';

import type { Downloads } from '../host/types.ts';
import { fetchIndex, type IndexFile, type ListedPackage, unreadable } from './packages-repository.ts';
import { type RepositoryKey, verifyDetached } from './packages-signature.ts';

/**
 * Packages of an rpm repository, every byte of their list under the signature of repomd.xml.
 *
 * Format: https://github.com/rpm-software-management/createrepo_c, `repodata/repomd.xml` and `primary.xml`.
 *
 * @throws KvciError `bad-signature`, `bad-key`, `checksum-mismatch`, `not-served`, `repository-unreadable`
 */
export async function rpmPackages(
  downloads: Downloads,
  baseUrl: string,
  key: RepositoryKey,
  signal: AbortSignal,
): Promise<ListedPackage[]> {
  const url = `${baseUrl}repodata/repomd.xml`;
  const [repomd, signature] = await Promise.all([downloads.text({ url, signal }), downloads.text({ url: `${url}.asc`, signal })]);
  await verifyDetached(repomd, signature, `${url}.asc`, key);
  const index = primaryIndex(repomd, url);
  return readPrimary(await fetchIndex(downloads, baseUrl, index, signal), `${baseUrl}${index.path}`);
}

const LISTS = new Set(['data', 'package']);

function parseXml(text: string, url: string): unknown {
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    parseTagValue: false,
    isArray: (name) => LISTS.has(name),
  });
  try {
    return parser.parse(text);
  } catch (cause) {
    throw unreadable(url, 'is not XML', cause);
  }
}

const sha256 = z.object({ '@type': z.literal('sha256'), '#text': z.string().regex(/^[0-9a-f]{64}$/) });

const repomdSchema = z.object({
  repomd: z.object({ data: z.array(z.object({ '@type': z.string(), checksum: sha256, location: z.object({ '@href': z.string() }) })) }),
});

export function primaryIndex(repomd: string, url: string): IndexFile {
  const parsed = repomdSchema.safeParse(parseXml(repomd, url));
  const primary = parsed.data?.repomd.data.find((data) => data['@type'] === 'primary');
  if (primary !== undefined) return { path: primary.location['@href'], sha256: `sha256:${primary.checksum['#text']}` };
  throw unreadable(url, 'names no list of packages with a sha256', parsed.error);
}

const primarySchema = z.object({
  metadata: z.object({
    package: z
      .array(
        z.object({
          name: z.string(),
          arch: z.string(),
          version: z.object({ '@epoch': z.string().default('0'), '@ver': z.string(), '@rel': z.string() }),
          checksum: sha256,
        }),
      )
      .default([]),
  }),
});

/** Reads `primary.xml`. @throws KvciError `repository-unreadable` */
export function readPrimary(text: string, url: string): ListedPackage[] {
  const parsed = primarySchema.safeParse(parseXml(text, url));
  if (!parsed.success) throw unreadable(url, `is not a list of packages: ${parsed.error.issues[0]?.path.join('.') ?? ''}`, parsed.error);
  return parsed.data.metadata.package.map(({ name, arch, version, checksum }) => ({
    name,
    version: `${version['@epoch'] === '0' ? '' : `${version['@epoch']}:`}${version['@ver']}-${version['@rel']}`,
    architecture: arch,
    sha256: `sha256:${checksum['#text']}`,
  }));
}
