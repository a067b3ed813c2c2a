import { readRecord, recordPath } from '../../../src/sandbox/node-engine-record.ts';
import { clusterFaults, EVERY_POINT, faultyCluster, type FaultyProvider } from '../../fixtures/cluster-faults.ts';
import { killNode } from '../../fixtures/killed-node.ts';
import { killVm } from '../../fixtures/vm-processes.ts';

/*
 * The faults of part 2 on clusters of both kinds: a control plane that is a container, at the speed of the host, with workers whose QEMU
 * is killed, in a sandbox that is killed. Control planes that are virtual machines are in faults.test.ts, what goes wrong with a machine
 * itself in vm-faults.test.ts.
 */

const NAME = 'kvci-mixed-faults';
const MARKER = `/run/kvci-test-${process.pid}`;

const PROVIDER: FaultyProvider = {
  name: NAME,
  flags: ['--provider', 'vm', '--control-plane-provider', 'kind'],
  nodes: 2,
  points: { ...EVERY_POINT, cancelled: ['network', 'boot node02', 'join node02'] },
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
