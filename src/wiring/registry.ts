import { join } from 'node:path';

import { LocalRegistry } from '../machine/net/registry.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { type HostParts, OWN_FOLDER } from './host.ts';

/** The registry beside this user's clusters. */
export function localRegistry(host: HostParts, sandboxes: Sandboxes): LocalRegistry {
  const templates = async () => {
    const { readTemplates } = await import('../image/sources.ts');
    return readTemplates(join(OWN_FOLDER, 'templates'));
  };
  return new LocalRegistry({ ...host, sandboxes, templates });
}
