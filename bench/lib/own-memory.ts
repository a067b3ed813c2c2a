import { readFile } from 'node:fs/promises';

import { VmSandboxRecords } from '../../src/machine/qemu/vm-record.ts';
import { type MachineProcess, machineProcesses } from '../../test/fixtures/vm-processes.ts';

/** All that runs in the sandbox of a cluster's machines. @param state kvci's state folder */
export async function processesOf(state: string, cluster: string): Promise<readonly MachineProcess[]> {
  const record = await new VmSandboxRecords({ state }, 'cluster-machines').find(cluster);
  if (record === undefined) throw new Error(`${cluster} has no virtual machines`);
  return machineProcesses(record);
}

/** Memory that a cluster shares with nobody, in bytes: what its programs, QEMU before all, have written. */
export async function ownMemory(state: string, cluster: string): Promise<number> {
  const sizes = (await processesOf(state, cluster)).map(async ({ pid }) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    return [...status.matchAll(/^(?:RssAnon|VmSwap):\s+(\d+) kB$/gm)].reduce((sum, [, size]) => sum + Number(size) * 1024, 0);
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Has the machines of a cluster stand still, or go on. */
export async function signalMachines(state: string, cluster: string, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  for (const { pid, command } of await processesOf(state, cluster)) if (command.startsWith('qemu-system')) process.kill(pid, signal);
}
