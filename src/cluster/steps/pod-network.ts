import type { IpFamily } from '../../machine/types.ts';
import { COMMAND_DEADLINE_MS } from '../deadlines.ts';
import { nodeAddresses, POD_RANGES, podRangesOf } from '../addresses.ts';
import type { MachineNetwork, NodeHandle } from '../../machine/types.ts';
import type { NodeState } from '../state.ts';

/** Where containerd and CRI-O look for networks. */
const CONFLIST = '/etc/cni/net.d/10-kvci.conflist';

/** What `kvci-pod-network.service` of the image keeps in force. */
const ROUTES = '/etc/kvci/pod-network';

/** Which of CNI's releases of its configuration: all plugins of the last years read it. */
const CNI_VERSION = '1.0.0';

const DEFAULT_ROUTES: Readonly<Record<IpFamily, string>> = { ipv4: '0.0.0.0/0', ipv6: '::/0' };

/**
 * The pod network of a node: a bridge, and addresses out of the node's own ranges, by the standard CNI plugins. They are known
 * before the node joins: it is Ready as soon as kubelet runs.
 */
export function conflist(index: number, families: readonly IpFamily[]): string {
  const config = {
    cniVersion: CNI_VERSION,
    name: 'kvci',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        // With `isDefaultGateway` and two families the plugin would add the same route twice.
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: podRangesOf(index, families).map((subnet) => [{ subnet }]),
          routes: families.map((family) => ({ dst: DEFAULT_ROUTES[family] })),
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** How a node reaches the pods of the others, and what leaves the cluster under the node's own address. */
export function routes(
  index: number,
  others: readonly Pick<NodeState, 'index'>[],
  network: MachineNetwork,
  families: readonly IpFamily[],
): string {
  const via = others
    .filter((other) => other.index !== index)
    .flatMap((other) => {
      const addresses = nodeAddresses(network, other.index);
      const ranges = podRangesOf(other.index, families);
      return families.map((family, at) => `${ranges[at] ?? ''} via ${addresses[family] ?? ''}`);
    });
  const masquerade = families.map((family) => `masquerade ${POD_RANGES[family]}`);
  return `${[...masquerade, ...via].join('\n')}\n`;
}

/** Writes a node's part of the pod network; other nodes may have come or gone since. */
export async function setPodNetwork(
  handle: NodeHandle,
  index: number,
  nodes: readonly Pick<NodeState, 'index'>[],
  network: MachineNetwork,
  families: readonly IpFamily[],
  signal: AbortSignal,
): Promise<void> {
  await handle.write(
    [
      { path: CONFLIST, content: conflist(index, families) },
      { path: ROUTES, content: routes(index, nodes, network, families) },
    ],
    signal,
  );
  await handle.run(['systemctl', 'restart', 'kvci-pod-network.service'], { timeoutMs: COMMAND_DEADLINE_MS, signal });
}
