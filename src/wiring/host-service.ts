import type { HostService } from '../cli/services.ts';
import type { Reaper } from '../host/ledger.ts';
import type { HostCheck } from '../host/types.ts';
import type { ToolsWay } from '../sandbox/tools-choice.ts';
import { engineSurroundings, type Environment, type HostParts, hostUser, packageManagerOf } from './host.ts';
import { connectSandboxEngine, startedSandboxes } from './sandboxes.ts';

/**
 * @param toolsWay how the tools image would come
 * @param verifyReapers what removes nodes of verifications
 */
export async function hostService(
  environment: Environment,
  host: HostParts,
  toolsWay: () => Promise<ToolsWay>,
  verifyReapers: () => Promise<readonly Reaper[]>,
): Promise<HostService> {
  const { createHostService } = await import('../cli/host-service.ts');
  const { hostChecks } = await import('../host/checks.ts');
  const { engineCheck } = await import('../host/engine/checks.ts');
  const { NO_CREDENTIALS } = await import('../host/engine/registry-credentials.ts');
  const { engineConnector } = await import('./connect-engine.ts');
  const { containerNodeChecks } = await import('../machine/container/checks.ts');
  const { hostVmChecks } = await import('./qemu.ts');
  const { vmReapers } = await import('../machine/qemu/reaper.ts');
  const { modulesChecks } = await import('../payload/checks.ts');
  const { snapshotReapers } = await import('../snapshot/reaper.ts');
  const { SnapshotStore } = await import('../snapshot/store.ts');
  const { sandboxChecks } = await import('../sandbox/checks.ts');
  const { sandboxReapers } = await import('../sandbox/reaper.ts');
  const { diskCopyReaper } = await import('../disk/output.ts');

  const packageManager = await packageManagerOf(host);
  const forVms = await hostVmChecks(host, false);
  const checks = (): readonly HostCheck[] => [
    ...hostChecks({ directories: host.directories, locks: host.locks, packageManager }),
    ...sandboxChecks(host.commands, hostUser(host), toolsWay),
    ...modulesChecks(host.commands, host.directories.cache),
    ...containerNodeChecks(host.commands, host),
    ...forVms,
    engineCheck({ kind: 'auto' }, engineSurroundings(environment, host), engineConnector(environment, host, NO_CREDENTIALS)),
  ];
  const sandboxes = await startedSandboxes(environment, host);
  const { cacheItems, imageStore, storeBesideNodes } = await import('./cache.ts');
  const { converterReapers } = await import('./converters.ts');
  const { hostSweeps } = await import('./sweeps.ts');
  return createHostService({
    ...host,
    store: storeBesideNodes(host, sandboxes),
    sweeps: await hostSweeps(host, sandboxes),
    reapers: [
      ...(await verifyReapers()),
      ...(await converterReapers()),
      diskCopyReaper,
      ...vmReapers(sandboxes),
      ...snapshotReapers(new SnapshotStore(host.directories)),
      ...sandboxReapers(sandboxes, connectSandboxEngine, host.signal),
    ],
    otherItems: () => cacheItems(host, sandboxes),
    images: imageStore(host),
    packageManager,
    checks,
  });
}
