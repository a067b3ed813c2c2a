import { networkOf } from '../cluster/addresses.ts';
import { atApiPort } from '../cluster/api-port.ts';
import { kubeconfigOf } from '../cluster/clusters.ts';
import { exposeApi } from '../cluster/endpoint.ts';
import { hostKubeconfig } from '../cluster/kubeconfig.ts';
import { beginRegistry } from '../cluster/steps/registry.ts';
import type { Work } from '../cluster/work.ts';
import { guestsBy } from './guests.ts';
import type { SnapshotPorts } from './ports.ts';
import { untilReadyAgain } from './ready-again.ts';

/**
 * From machines that run again to a cluster that is Ready.
 *
 * @param adminConf the administrator's kubeconfig of what it was saved as; undefined where the cluster has its own already
 * @param since before they ran again, in milliseconds since the epoch
 */
export async function reachAgain(
  { cluster, machines }: Work,
  adminConf: string | undefined,
  since: number,
  ports: SnapshotPorts,
  timeoutMs: number | undefined,
): Promise<void> {
  const { name } = cluster.state;
  const { signal } = cluster.context;
  // While the way to the API is made.
  const loaded = ports.loadApi();
  loaded.catch(() => undefined);
  const exposed = await cluster.step('api', 'API address', undefined, () =>
    atApiPort(
      cluster,
      ports.states,
      () => exposeApi(cluster.state, networkOf(cluster.state), machines, signal),
      () => Promise.resolve(),
    ),
  );
  await cluster.update(exposed);
  await beginRegistry(cluster, machines, ports);
  const text = hostKubeconfig(adminConf ?? (await kubeconfigOf(name, ports)), name, exposed.api);
  await ports.states.saveKubeconfig(name, text);
  await loaded;
  await untilReadyAgain(cluster, machines, guestsBy(ports.templates), await ports.api(text), since, timeoutMs);
}
