import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { vmProvider } from '../../../src/machine/qemu/vm-provider.ts';
import type { Machines, NodeHandle } from '../../../src/machine/types.ts';
import { nodeContract } from '../../fixtures/node-contract.ts';
import { providerDifferences } from '../../fixtures/provider-differences.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { LAN, nodeDisk, testVms, WITHOUT_KUBERNETES } from '../../fixtures/vms.ts';

/* What part 2 asks of nodes, of virtual machines of a cluster. No Kubernetes. */

const NEVER = new AbortController().signal;
const IMAGE: Digest = `sha256:${'0'.repeat(64)}`;

describe('nodes that are virtual machines', () => {
  let folder: string;
  let machines: Machines;
  let node01: NodeHandle;
  let node02: NodeHandle;
  const start = (index: number): Promise<NodeHandle> =>
    machines.start(
      { name: `node0${index}`, addresses: lanAddresses(LAN.families, index), cpus: 1, memory: 2 ** 30, vm: WITHOUT_KUBERNETES },
      NEVER,
    );

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-vm-nodes-'));
    const vms = await testVms(await toolsTree(), folder);
    const disk = await nodeDisk('1.36');
    const provider = vmProvider({ vms, disks: { find: () => Promise.resolve(disk), make: () => Promise.resolve(disk) }, signal: NEVER });
    machines = await provider.machines({ cluster: 'contract', run: 'first', image: IMAGE });
    await machines.network(LAN.families, NEVER);
    node01 = await start(1);
    node02 = await start(2);
  });

  afterAll(async () => {
    await machines.destroy();
    await machines[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  nodeContract({ node: () => node01, other: () => node02, bytes: 5_000_000 });

  providerDifferences({ provider: 'vm', machines: () => machines, node: () => node01, storage: tmpdir() });
});
