import { readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { clusterFaults, faultyCluster, type FaultyProvider } from '../../fixtures/cluster-faults.ts';
import { killNode } from '../../fixtures/killed-node.ts';
import { killVm } from '../../fixtures/vm-processes.ts';

/*
 * The faults of part 2 on clusters with virtual machines: a control plane that is a container, at the speed of the host, with workers
 * whose QEMU is killed, in a sandbox that is killed. What goes wrong with a machine itself is in vm-faults.test.ts.
 */

const NAME = 'kvci-vm-faults';
const MARKER = `/run/kvci-test-${process.pid}`;

const PROVIDER: FaultyProvider = {
  name: NAME,
  flags: ['--provider', 'vm', '--control-plane-provider', 'kind'],
  slow: true,
  dies: { step: 'join', node: 'node02' },
  kill: async (node, { done }) => {
    if (node !== 'node01') {
      await killVm(NAME, node);
      return;
    }
    await done('ssh', node, '--cluster', NAME, '--', 'touch', MARKER);
    await killNode(MARKER);
  },
  sandbox: async (directories) => (await readRecord(recordPath(directories)))?.sandbox,
  lost: [`virtual machines of the cluster "${NAME}", whose state is lost`, `nodes of the cluster "${NAME}", whose state is lost`],
};

clusterFaults(PROVIDER, faultyCluster(PROVIDER));
