import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { reapOrphans } from '../../../src/host/ledger.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { vmReapers } from '../../../src/machine/qemu/reaper.ts';
import { vmMachines } from '../../../src/machine/qemu/vm-machines.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { LAN, nodeDisk, testVms, WITHOUT_KUBERNETES } from '../../fixtures/vms.ts';

/* A kvci that is killed while it makes the network of machines. Sandboxes that are killed are in part-3/vm-machines.test.ts. */

const NEVER = new AbortController().signal;
const IMAGE: Digest = `sha256:${'0'.repeat(64)}`;
const CHILD = new URL('../../fixtures/vm-machines-child.ts', import.meta.url).pathname;

it('what a killed kvci began goes on, and prune leaves it alone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-vm-kills-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const tools = await toolsTree();
  const disk = await nodeDisk('1.36');
  const child = spawn(process.execPath, [CHILD, tools, folder, JSON.stringify(disk), 'killed', 'one'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'close');

  const parts = await testVms(tools, folder);
  const machines = vmMachines(parts, () => Promise.resolve(disk), { cluster: 'killed', run: 'one', image: IMAGE });
  try {
    await machines.network(LAN.families, NEVER);
    const spec = { name: 'node01', addresses: lanAddresses(LAN.families, 1), memory: 2 ** 30, vm: WITHOUT_KUBERNETES };
    const node = await machines.start(spec, NEVER);
    expect(await reapOrphans(parts.ledger, vmReapers(parts.sandboxes))).toEqual({ removed: [], failed: [] });
    expect((await node.run(['hostname'])).stdout).toBe('node01\n');
  } finally {
    await machines.destroy();
    await machines[Symbol.asyncDispose]();
  }
});
