import type { Reaper } from '../host/ledger.ts';
import { endContainerSandbox } from './container-sandboxes.ts';
import { type ContainerSandboxesParts, SANDBOX_CONTAINER } from './container-start.ts';
import { MAPPED_FOLDER, removeMappedTree } from './mapped-folder.ts';
import type { Sandboxes } from './types.ts';

/**
 * What `prune` removes of this room. Bound sandboxes leave nothing running: the kernel or the engine ends them with kvci. Detached ones are ended by
 * whoever keeps their record.
 */
export function sandboxReapers(
  sandboxes: Pick<Sandboxes, 'startOverHost'>,
  connect: ContainerSandboxesParts['connect'],
  signal: AbortSignal,
): Reaper[] {
  return [
    {
      kind: MAPPED_FOLDER,
      describe: (resource) => `temporary folder ${String(resource['path'])}`,
      reap: (resource) => removeMappedTree(String(resource['path']), sandboxes, signal),
    },
    {
      kind: SANDBOX_CONTAINER,
      describe: ({ name }) => `the sandbox "${String(name)}", a container`,
      reap: ({ engine, id, folder, name }) =>
        endContainerSandbox(connect, { engine: String(engine), id: String(id), folder: String(folder), name: String(name) }),
    },
  ];
}
