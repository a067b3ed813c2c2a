import { existsSync } from 'node:fs';
import { join } from 'node:path';

import type { BootService, ServiceSettings } from '../cli/services.ts';
import type { RunContext } from '../core/plan.ts';
import type { HostCheck } from '../host/types.ts';
import type { VmSandboxParts } from '../machine/qemu/vm-sandbox.ts';
import type { Sandboxes } from '../sandbox/types.ts';
import { type Environment, hostArchitecture, type HostParts, once, OWN_FOLDER, packageManagerOf } from './host.ts';
import { attachedStreams } from './streams.ts';

/** What virtual machines take. @param sandboxes over the tools image */
export async function vmSandboxParts(host: HostParts, sandboxes: Sandboxes, run: RunContext): Promise<VmSandboxParts> {
  const { ssh2Ssh } = await import('../host/adapters/ssh2-ssh.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const { memoryAvailable } = await import('../host/memory.ts');
  const { readTemplates } = await import('../image/sources.ts');
  const { directories, locks, ledger } = host;
  return {
    sandboxes,
    directories,
    locks,
    ledger,
    ssh: ssh2Ssh,
    templates: await readTemplates(join(OWN_FOLDER, 'templates')),
    architecture: hostArchitecture(),
    memoryAvailable,
    clock: run.clock,
    events: run.events,
    tar: tarStreamTar,
  };
}

export async function bootService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<BootService> {
  const { createBootService } = await import('../cli/boot-service.ts');
  const { diskToBoot } = await import('../cli/boot-disk.ts');
  const { imageParts } = await import('./images.ts');
  const disks = once(async () => {
    const { diskService } = await import('./disk.ts');
    return diskService(environment, settings, host, run);
  });
  const service = createBootService({
    vms: once(async () => vmSandboxParts(host, (await imageParts(environment, settings, host, run)).sandboxes, run)),
    disk: ({ what, cwd, settings: build }, context) => diskToBoot(what, cwd, disks, build, context),
    streams: attachedStreams,
  });
  return {
    ...service,
    boot: async (request, context) => {
      if (settings.setup) await prepareForVms(environment, settings, host, run);
      return service.boot(request, context);
    },
  };
}

/** `--setup`: installs what machines need of the host, and nothing else. */
export async function prepareForVms(environment: Environment, settings: ServiceSettings, host: HostParts, run: RunContext): Promise<void> {
  const { prepareForImage } = await import('./images.ts');
  const { prepareHost } = await import('../cli/host-service.ts');
  await prepareForImage(undefined, environment, settings, host, run);
  const checks = await hostVmChecks(host, true);
  await prepareHost(() => checks, { ...host, packageManager: await packageManagerOf(host) }, run);
}

/** What machines need of the host. @param required the command at hand needs them */
export async function hostVmChecks({ directories, store }: HostParts, required: boolean): Promise<readonly HostCheck[]> {
  const { vmChecks } = await import('../machine/qemu/checks.ts');
  const { readVerdict } = await import('../machine/qemu/kvm.ts');
  const { uefiFiles } = await import('../machine/qemu/qemu-arguments.ts');
  const { memoryAvailable } = await import('../host/memory.ts');
  const { TOOLS_KIND } = await import('../sandbox/tools-image.ts');
  const firmware = async (): Promise<{ readonly path: string; readonly there: boolean } | undefined> => {
    const tools = (await store.list()).filter(({ kind }) => kind === TOOLS_KIND);
    const newest = tools.toSorted((a, b) => (a.record.madeAt < b.record.madeAt ? -1 : 1)).at(-1);
    const path = uefiFiles(hostArchitecture()).code;
    return newest === undefined ? undefined : { path, there: existsSync(join(newest.path, 'root', path)) };
  };
  return vmChecks({ required, verdict: () => readVerdict(directories.state), memory: memoryAvailable, firmware });
}
