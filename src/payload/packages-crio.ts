import semver from 'semver';

import { KvciError } from '../core/errors.ts';
import { minorOf } from '../core/versions.ts';
import type { Downloads } from '../host/types.ts';
import type { LockedRepository } from './packages-lock.ts';
import { newestPackages } from './packages-repository.ts';
import { readRepository } from './packages-signed.ts';
import type { ReleaseServers } from './release-servers.ts';
import type { Architecture } from './types.ts';

/** CRI-O's minor follows Kubernetes' by some weeks, and one minor apart still works together. */
const MINORS_BACK = 1;

/**
 * CRI-O for a Kubernetes version from its own signed rpm repository: rpm distributions do not all have it, and none has all minors.
 *
 * Source: https://github.com/cri-o/packaging
 *
 * @throws KvciError `version-not-served`, `bad-signature`, `bad-key`, `checksum-mismatch`
 */
export async function lockCrio(
  kubernetes: string,
  architecture: Architecture,
  { downloads, servers }: { readonly downloads: Downloads; readonly servers: ReleaseServers },
  signal: AbortSignal,
): Promise<LockedRepository> {
  const minors = Array.from({ length: MINORS_BACK + 1 }, (_, back) => `${semver.major(kubernetes)}.${semver.minor(kubernetes) - back}`);
  for (const minor of minors) {
    const path = `/isv:/cri-o:/stable:/v${minor}/rpm/`;
    const repository = await readRepository(downloads, `${servers.crio}${path}`, 'rpm', architecture, signal);
    const [newest] = newestPackages(repository?.packages.filter(({ name }) => name === 'cri-o') ?? []);
    if (repository === undefined || newest === undefined) continue;
    const { name, version, sha256 } = newest;
    return {
      format: 'rpm',
      server: 'crio',
      path,
      key: repository.key,
      fingerprints: [...repository.fingerprints],
      packages: [{ name, version, sha256 }],
    };
  }
  throw new KvciError('notFoundOrExists', 'version-not-served', `${servers.crio} serves no CRI-O for Kubernetes ${minorOf(kubernetes)}`, {
    hint: `It was asked for ${minors.join(' and ')}.`,
  });
}
