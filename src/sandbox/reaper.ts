import type { Reaper } from '../host/ledger.ts';
import { MAPPED_FOLDER, removeMappedTree } from './mapped-folder.ts';
import type { Sandboxes } from './types.ts';

/**
 * What `prune` removes of this room. Bound sandboxes leave nothing: the kernel ends them with kvci. Detached ones are ended by
 * whoever keeps their record.
 */
export function sandboxReapers(sandboxes: Pick<Sandboxes, 'startOverHost'>, signal: AbortSignal): Reaper[] {
  return [
    {
      kind: MAPPED_FOLDER,
      describe: (resource) => `temporary folder ${String(resource['path'])}`,
      reap: (resource) => removeMappedTree(String(resource['path']), sandboxes, signal),
    },
  ];
}
