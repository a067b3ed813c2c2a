import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import { PACKAGE_FORMATS, RPM_ARCHITECTURES } from './packages-repository.ts';
import type { ReleaseServers } from './release-servers.ts';
import type { Architecture, PackageRepository, PayloadComponent } from './types.ts';

/** Exact packages of a signed repository, and all it takes to install just these from any server that has them. */
export const lockedRepositorySchema = z.strictObject({
  format: z.enum(PACKAGE_FORMATS),
  /** Which of upstream's servers; a lock names no host, so that mirrors can take over. */
  server: z.enum(['packages', 'crio']),
  path: z.string().startsWith('/').endsWith('/'),
  /** The repository's public key, ASCII-armoured, and whose it is. */
  key: z.string(),
  fingerprints: z.array(z.string()),
  packages: z.array(z.strictObject({ name: z.string(), version: z.string(), sha256: digestSchema })),
});
export type LockedRepository = z.output<typeof lockedRepositorySchema>;
export type LockedPackage = LockedRepository['packages'][number];

/** What the Containerfile is given of a locked repository. */
export function repositoryOf({ format, server, path, key, packages }: LockedRepository, servers: ReleaseServers): PackageRepository {
  const separator = format === 'deb' ? '=' : '-';
  return { baseUrl: `${servers[server]}${path}`, key, packages: packages.map(({ name, version }) => `${name}${separator}${version}`) };
}

const VENDORS = { packages: 'kubernetes', crio: 'cri-o' } as const;

/** https://github.com/package-url/purl-spec/blob/main/types-doc/deb-definition.md and rpm-definition.md */
export function repositoryComponents({ format, server, packages }: LockedRepository, architecture: Architecture): PayloadComponent[] {
  const arch = format === 'deb' ? architecture : RPM_ARCHITECTURES[architecture];
  return packages.map(({ name, version, sha256 }) => {
    const purl = `pkg:${format}/${VENDORS[server]}/${name}@${encodeURIComponent(version)}?arch=${arch}`;
    return { purl, name, version, digest: sha256 };
  });
}
