import { join, resolve } from 'node:path';

import type { ServiceSettings } from '../cli/services.ts';
import { KvciError } from '../core/errors.ts';
import type { Distribution } from '../distro/types.ts';
import type { Downloads } from '../host/types.ts';
import type { RegistryClient } from '../oci/registry.ts';
import type { PayloadSource, PayloadSourceName } from '../payload/types.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { hostArchitecture, type HostParts, OWN_FOLDER } from './host.ts';

export interface PayloadParts {
  readonly sandboxes: Sandboxes;
  readonly downloads: Downloads;
  readonly mirrors: readonly string[] | undefined;
  readonly registry: () => Promise<RegistryClient>;
}

/** A payload source for a distribution. @param path the folder of source `dir` */
export async function payloadSource(
  name: PayloadSourceName,
  path: string | undefined,
  distribution: Distribution,
  settings: ServiceSettings,
  host: HostParts,
  parts: PayloadParts,
): Promise<PayloadSource> {
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const shared = {
    commands: host.commands,
    store: host.store,
    layoutTools: { tar: tarStreamTar, locks: host.locks },
    hostArchitecture: hostArchitecture(),
  };
  switch (name) {
    case 'modules': {
      const { modulesSource } = await import('../payload/modules-source.ts');
      const { GoClient } = await import('../payload/go-client.ts');
      const { readProgramSources } = await import('../payload/go-module-folder.ts');
      const { debianUserland } = await import('../payload/userland.ts');
      const { mirrors, sandboxes, downloads } = parts;
      return modulesSource({
        ...shared,
        go: new GoClient(host.commands, settings.offline),
        sources: await readProgramSources(join(OWN_FOLDER, 'templates')),
        userland: debianUserland({
          ...host,
          sandboxes,
          downloads,
          tar: tarStreamTar,
          offline: settings.offline,
          ...(mirrors === undefined ? {} : { mirrors }),
        }),
      });
    }
    case 'dir': {
      const { directorySource } = await import('../payload/dir-source.ts');
      if (path === undefined) throw new KvciError('usage', 'bad-payload', 'the source "dir" needs a folder: --payload dir:PATH');
      return directorySource({ ...shared, path: resolve(path) });
    }
    case 'release':
    case 'packages': {
      const { serversOf } = await import('../payload/release-servers.ts');
      const upstream = {
        ...shared,
        tar: tarStreamTar,
        downloads: parts.downloads,
        servers: serversOf((await settings.config()).config.mirrors ?? {}),
        registry: await parts.registry(),
      };
      if (name === 'release') {
        const { releaseSource } = await import('../payload/release-source.ts');
        return releaseSource({ ...upstream, containerd: distribution.cri === 'containerd' });
      }
      const { packagesSource } = await import('../payload/packages-source.ts');
      return packagesSource({ ...upstream, format: distribution.family === 'debian' ? 'deb' : 'rpm' });
    }
  }
}
