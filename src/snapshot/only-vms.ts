import { KvciError } from '../core/errors.ts';
import type { ClusterState } from '../cluster/state.ts';
import { machineOf } from '../cluster/steps/boot.ts';
import { networkOf } from '../cluster/addresses.ts';
import type { MachineSnapshots } from '../machine/saved-machines.ts';
import type { Machines, MachineSpec } from '../machine/types.ts';

/** Containers share the kernel of this host: what they are in the middle of is in its memory, too. @throws KvciError `not-virtual-machines` */
export function requireVms({ name, provider }: Pick<ClusterState, 'name' | 'provider'>): void {
  if (provider === 'vm') return;
  const made = provider === 'kind' ? 'containers' : 'containers beside virtual machines';
  throw new KvciError(
    'usage',
    'not-virtual-machines',
    `the nodes of the cluster "${name}" are ${made}, which cannot be saved as they run`,
    {
      hint: 'They share the kernel of this host, and with it what they have in memory. Make the cluster with --provider vm.',
      facts: { cluster: name },
    },
  );
}

/** @throws KvciError `not-virtual-machines` */
export function snapshotsOf(state: Pick<ClusterState, 'name' | 'provider'>, machines: Machines): MachineSnapshots {
  requireVms(state);
  if (machines.snapshots !== undefined) return machines.snapshots;
  throw new KvciError('bug', 'no-snapshots', 'virtual machines of a cluster that cannot be saved');
}

/** The nodes of a cluster as its provider is told of them. */
export function machineSpecs(state: Pick<ClusterState, 'nodes' | 'options' | 'network'>): readonly MachineSpec[] {
  const network = networkOf(state);
  return state.nodes.map((node) => machineOf(node, state.options, network, []));
}
