import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { resetTraces } from '../fixtures/reset-traces.ts';
import { AT_ONCE, savedMachinesOf, TWO } from '../fixtures/saved-vms.ts';
import { toolsTree } from '../fixtures/tools-tree.ts';
import { LAN, nodeDisk, testVms } from '../fixtures/vms.ts';

/* Machines that are saved, and put back a few times: the short run of what test/full/part-5/ does at length. No Kubernetes. */

const NEVER = new AbortController().signal;
const ROUNDS = 3;

it(`machines go back to what they were saved as ${ROUNDS} times, and nothing piles up`, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-saved-'));
  const parts = await testVms(await toolsTree(), folder);
  await using machines = savedMachinesOf(parts, await nodeDisk('1.36'), 'short');
  try {
    await machines.network(LAN.families, NEVER);
    await machines.schedule(NEVER);
    await Promise.all(TWO.map((machine) => machines.start(machine, NEVER)));
    const to = join(folder, 'cache', 'saved');
    await mkdir(to);
    const saved = await machines.snapshots.save(join(to, 'first'), TWO, AT_ONCE, NEVER);
    await machines.snapshots.adopt(join(to, 'first'), saved, NEVER);
    await machines.snapshots.reset(TWO, NEVER);
    const before = await resetTraces(parts, 'short');
    for (let round = 0; round < ROUNDS; round += 1) {
      const node = await machines.node('node01');
      await node.run(['sh', '-c', 'test ! -e /run/gone && test ! -e /var/gone && touch /run/gone /var/gone && sync']);
      await machines.snapshots.reset(TWO, NEVER);
    }
    expect(await resetTraces(parts, 'short')).toEqual(before);
    expect((await (await machines.node('node02')).run(['hostname'])).stdout).toBe('node02\n');
  } finally {
    await machines.destroy();
    await rm(folder, { recursive: true, force: true });
  }
});
