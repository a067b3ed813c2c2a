import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { vmProvider } from '../../../src/machine/qemu/vm-provider.ts';
import type { Machines, NodeHandle } from '../../../src/machine/types.ts';
import type { VmOptions } from '../../../src/machine/vm-options.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeContract } from '../../fixtures/node-contract.ts';
import { providerDifferences } from '../../fixtures/provider-differences.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { LAN, nodeDisk, testVms, WITHOUT_KUBERNETES } from '../../fixtures/vms.ts';
import { outsideProblem, reachesHostButNotItsLoopback } from '../../fixtures/way-outside.ts';

/* What part 2 asks of nodes, of virtual machines of a cluster. No Kubernetes. */

const NEVER = new AbortController().signal;
const IMAGE: Digest = `sha256:${'0'.repeat(64)}`;

/** A processor that is not the default, and what its kernel calls it. */
const PROCESSOR = process.arch === 'arm64' ? { model: 'cortex-a57', seen: '0xd07' } : { model: 'Nehalem', seen: 'Nehalem' };

/** What only machines may be asked. The device is a balloon, which no other node has. */
const ASKED: VmOptions = { diskSize: '12G', cpuModel: PROCESSOR.model, vnc: true, qemuArgs: ['-device', 'virtio-balloon-pci'] };
const BALLOON = '0x0005';

describe('nodes that are virtual machines', () => {
  let folder: string;
  let machines: Machines;
  let node01: NodeHandle;
  let node02: NodeHandle;
  const start = (index: number, vm: VmOptions = {}): Promise<NodeHandle> =>
    machines.start(
      {
        name: `node0${index}`,
        addresses: lanAddresses(LAN.families, index),
        cpus: 1,
        memory: 2 ** 30,
        vm: { ...WITHOUT_KUBERNETES, ...vm },
      },
      NEVER,
    );
  const output = async (node: NodeHandle, ...argv: [string, ...string[]]): Promise<string> => (await node.run(argv)).stdout;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-vm-nodes-'));
    const vms = await testVms(await toolsTree(), folder);
    const disk = await nodeDisk('1.36');
    const provider = vmProvider({ vms, disks: { find: () => Promise.resolve(disk), make: () => Promise.resolve(disk) }, signal: NEVER });
    machines = await provider.machines({ cluster: 'contract', run: 'first', image: IMAGE });
    await machines.network(LAN.families, NEVER);
    node01 = await start(1);
    node02 = await start(2, ASKED);
  });

  afterAll(async () => {
    await machines.destroy();
    await machines[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  nodeContract({ node: () => node01, other: () => node02, bytes: 5_000_000 });

  describe('as nobody has asked for anything', () => {
    providerDifferences({
      provider: 'vm',
      machines: () => machines,
      node: () => node01,
      asked: { index: 1, cpus: 1, disk: 10e9 },
    });
  });

  describe('as they were asked to be', () => {
    providerDifferences({
      provider: 'vm',
      machines: () => machines,
      node: () => node02,
      asked: { index: 2, cpus: 1, disk: 12e9 },
    });

    it('have that processor, and what else QEMU was told', async () => {
      expect(await output(node02, 'cat', '/proc/cpuinfo')).toContain(PROCESSOR.seen);
      expect(await output(node01, 'cat', '/proc/cpuinfo')).not.toContain(PROCESSOR.seen);
      const devices = (node: NodeHandle): Promise<string> => output(node, 'sh', '-c', 'cat /sys/bus/virtio/devices/*/device');
      expect(await devices(node02)).toContain(BALLOON);
      expect(await devices(node01)).not.toContain(BALLOON);
    });

    it('have a screen', async () => {
      expect((await machines.terminal('node01')).vnc).toBeUndefined();
      const screen = createConnection((await machines.terminal('node02')).vnc ?? '');
      expect(String(await once(screen, 'data'))).toMatch(/^RFB 003/);
      screen.destroy();
    });
  });

  it.skipIf(isMissing('network', outsideProblem()))('reach what this host serves on its network, and nothing of its loopback', () =>
    reachesHostButNotItsLoopback(node01),
  );
});
