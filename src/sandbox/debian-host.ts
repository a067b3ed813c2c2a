import type { DebianHost } from './debian-resolve.ts';
import { type MappedFolderParts, temporaryMappedFolder } from './mapped-folder.ts';
import type { Sandboxes } from './types.ts';

export interface DebianHostParts extends MappedFolderParts {
  readonly sandboxes: Sandboxes;
}

/** A sandbox over the tools image for mmdebstrap and dpkg, kvci's cache at the same path inside, and a temporary folder there. */
export async function openDebianHost(
  parts: DebianHostParts,
  signal: AbortSignal,
  onLine?: (line: string) => void,
): Promise<DebianHost & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const temporary = stack.use(await temporaryMappedFolder(parts));
  const { cache } = parts.directories;
  const commands = stack.use(
    await parts.sandboxes.start({
      name: 'debian',
      binds: [{ host: cache, inside: cache, writable: true }],
      network: 'host',
      cgroups: false,
      signal,
    }),
  );
  const resources = stack.move();
  return {
    commands,
    temporary: temporary.path,
    signal,
    ...(onLine === undefined ? {} : { onLine }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
