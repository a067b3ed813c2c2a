import { join } from 'node:path';

import type { RunContext } from '../core/plan.ts';
import type { VmSandboxParts } from '../machine/qemu/vm-sandbox.ts';
import { type HostParts, OWN_FOLDER } from './host.ts';
import type { ImageParts } from './images.ts';

/** What virtual machines are started with. */
export async function vmParts(
  host: HostParts,
  images: Pick<ImageParts, 'sandboxes' | 'hostArchitecture'>,
  run: RunContext,
): Promise<VmSandboxParts> {
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { ssh2Ssh } = await import('../host/adapters/ssh2-ssh.ts');
  const { memoryAvailable } = await import('../host/memory.ts');
  const { readTemplates } = await import('../image/sources.ts');
  return {
    clock: run.clock,
    events: run.events,
    tar: tarStreamTar,
    sandboxes: images.sandboxes,
    directories: host.directories,
    locks: host.locks,
    ledger: host.ledger,
    ssh: ssh2Ssh,
    templates: await readTemplates(join(OWN_FOLDER, 'templates')),
    architecture: images.hostArchitecture,
    memoryAvailable,
  };
}
