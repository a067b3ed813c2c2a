import { join } from 'node:path';

import type { Downloads } from '../host/types.ts';
import { fetchPackages, type RepositoryParts } from './debian-repository.ts';
import { type DebianHost, findArchives, resolvePackages } from './debian-resolve.ts';
import { buildRoot } from './debian-root.ts';
import type { DebianArchives } from './debian-types.ts';
import { type MappedFolderParts, temporaryMappedFolder } from './mapped-folder.ts';
import type { ToolsMaker } from './tools-image.ts';
import { TOOLS_DPKG_OPTIONS, TOOLS_SUITE, unpackArgv } from './tools-packages.ts';
import type { StepContext } from '../core/plan.ts';

export interface FromPackagesParts extends MappedFolderParts, Pick<RepositoryParts, 'store'> {
  readonly downloads: Downloads;
  readonly architecture: string;
  /** Instead of the mirrors that mmdebstrap knows. */
  readonly mirrors?: readonly string[];
  /** Asks nothing of the network: throws where that would be needed. */
  readonly online: () => void;
}

/** Release day of Debian 13, in seconds since the epoch: no file of the tools image is younger. */
const SOURCE_DATE_EPOCH = 1_754_697_600;

/** Makes the tools image of Debian packages with the host's mmdebstrap: neither an engine nor a registry is needed. */
export function toolsFromPackages(parts: FromPackagesParts): ToolsMaker {
  const request = {
    suite: TOOLS_SUITE,
    architecture: parts.architecture,
    ...(parts.mirrors === undefined ? {} : { mirrors: parts.mirrors }),
  };
  // Where the last resolving found the packages; a locked set has to ask.
  let known: DebianArchives | undefined;

  return {
    resolve: async (wanted, context) => {
      parts.online();
      return withHost(parts, context, async (host) => {
        context.output('asking the Debian archive for the newest packages');
        const { set, archives } = await resolvePackages({ ...request, wanted }, host);
        known = archives;
        return set;
      });
    },
    make: (set, folder, context) =>
      withHost(parts, context, async (host) => {
        const repository = await fetchPackages(set, {
          store: parts.store,
          downloads: parts.downloads,
          commands: host.commands,
          archives: async () => known ?? findArchives(request, host),
          signal: context.signal,
          onProgress: (done, total) => {
            context.progress(done, total, 'bytes', 'Debian packages');
          },
        });
        const tar = join(host.temporary, 'root.tar');
        await buildRoot(
          {
            set,
            repository: repository.path,
            output: { format: 'tar', path: tar },
            sourceDateEpoch: SOURCE_DATE_EPOCH,
            dpkgOptions: TOOLS_DPKG_OPTIONS,
            sources: [],
          },
          host,
        );
        const root = join(folder, 'root');
        await host.commands.run(['mkdir', '--mode=755', root], { signal: context.signal });
        await host.commands.run(unpackArgv(tar, root), { signal: context.signal });
      }),
  };
}

async function withHost<Result>(
  parts: FromPackagesParts,
  context: StepContext,
  work: (host: DebianHost) => Promise<Result>,
): Promise<Result> {
  await using temporary = await temporaryMappedFolder(parts);
  await using commands = await parts.sandboxes.startOverHost({ name: 'mmdebstrap', signal: context.signal });
  return await work({
    commands,
    temporary: temporary.path,
    signal: context.signal,
    onLine: (line) => {
      context.output(line);
    },
  });
}
