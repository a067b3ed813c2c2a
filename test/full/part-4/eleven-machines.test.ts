import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { vmMachines } from '../../../src/machine/qemu/vm-machines.ts';
import { knownByName } from '../../../src/machine/node-names.ts';
import type { Machines, NodeHandle } from '../../../src/machine/types.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { LAN, nodeDisk, testVms, WITHOUT_KUBERNETES } from '../../fixtures/vms.ts';

/* There is no limit of nine nodes. No Kubernetes: only addresses and SSH. */

const NEVER = new AbortController().signal;
const IMAGE: Digest = `sha256:${'0'.repeat(64)}`;
const COUNT = 11;

const INDICES = Array.from({ length: COUNT }, (_, at) => at + 1);
const nameOf = (index: number): string => `node${String(index).padStart(2, '0')}`;

let folder: string;
let machines: Machines;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-eleven-'));
  const disk = await nodeDisk('1.36');
  const spec = { cluster: 'eleven', run: 'first', image: IMAGE };
  machines = knownByName(vmMachines(await testVms(await toolsTree(), folder), () => Promise.resolve(disk), spec));
  await machines.network(LAN.families, NEVER);
});

afterAll(async () => {
  await machines.destroy();
  await machines[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

it('eleven machines of one sandbox answer SSH, each at its fixed addresses', async () => {
  const start = (index: number): Promise<NodeHandle> =>
    machines.start(
      { name: nameOf(index), addresses: lanAddresses(LAN.families, index), cpus: 1, memory: 512 * 2 ** 20, vm: WITHOUT_KUBERNETES },
      NEVER,
    );
  const nodes: NodeHandle[] = [];
  // In pairs: more at a time would only wait for processors.
  for (const index of INDICES.filter((each) => each % 2 === 1)) {
    nodes.push(...(await Promise.all([index, index + 1].filter((each) => each <= COUNT).map(start))));
  }
  const seen = await Promise.all(
    nodes.map(async (node) => (await node.run(['ip', '-brief', 'address', 'show', 'scope', 'global'])).stdout.trim()),
  );
  for (const [at, text] of seen.entries()) {
    const { ipv4, ipv6 } = lanAddresses(LAN.families, at + 1);
    expect(text).toContain(`${ipv4}/`);
    expect(text).toContain(`${ipv6}/`);
  }
  expect(await machines.list()).toEqual(INDICES.map((index) => ({ name: nameOf(index), state: 'running' })));
  // By name, from the first to all.
  const greetings = await Promise.all(
    INDICES.map(async (index) =>
      nodes[0]!.run(['bash', '-c', 'exec 3<>"/dev/tcp/$1/22" && head -c 4 <&3', 'bash', nameOf(index)]).then(({ stdout }) => stdout),
    ),
  );
  expect(greetings).toEqual(INDICES.map(() => 'SSH-'));
});
