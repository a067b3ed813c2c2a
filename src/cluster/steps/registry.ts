import { REGISTRY_PORT } from '../../machine/net/registry-name.ts';
import type { Machines, NodeAddresses } from '../../machine/types.ts';
import type { ClusterRun } from '../cluster-run.ts';
import type { ClusterPorts } from '../ports.ts';
import { ensureRegistry } from '../registries.ts';

/** The registry beside the cluster and the way to it, where it wants one. Answers the addresses at which nodes find it. */
export async function beginRegistry(
  run: ClusterRun,
  machines: Pick<Machines, 'reach'>,
  ports: Pick<ClusterPorts, 'registry'>,
): Promise<NodeAddresses | undefined> {
  if (run.state.options.registry !== true) return undefined;
  const { signal } = run.context;
  return run.step('registry', 'registry', undefined, async () => {
    const registryPort = await ensureRegistry(run.state, ports, signal);
    if (registryPort === undefined) return undefined;
    await run.update({ registryPort });
    return machines.reach(REGISTRY_PORT, registryPort, signal);
  });
}
