import { clusterFaults, faultyCluster, type FaultyProvider } from '../../fixtures/cluster-faults.ts';
import { killVm, machinesOfCluster } from '../../fixtures/vm-processes.ts';

/*
 * The faults of part 2 on a cluster of virtual machines: its control plane is one, whose QEMU is killed, and its sandbox is its own,
 * which is killed with all in it. Emulated, a control plane takes minutes, so that it is the only node, and runs are disturbed where its
 * machine, its sandbox and its network are made and where it first has something to lose. Machines that are workers are in
 * mixed-faults.test.ts; steps that only talk to Kubernetes are those of part 2.
 */

const NAME = 'kvci-vm-faults';

const PROVIDER: FaultyProvider = {
  name: NAME,
  flags: ['--provider', 'vm', '--timeout', '40m'],
  nodes: 1,
  points: {
    cancelled: ['network', 'init node01'],
    down: ['boot node01'],
    killed: ['network', 'boot node01'],
    again: ['network', 'boot node01', 'init node01', 'ready'],
  },
  dies: { step: 'init', node: 'node01' },
  kill: (node) => killVm(NAME, node),
  sandbox: async () => (await machinesOfCluster(NAME)).sandbox,
  lost: [`virtual machines of the cluster "${NAME}", whose state is lost`],
};

clusterFaults(PROVIDER, faultyCluster(PROVIDER));
