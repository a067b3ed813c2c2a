import { readFile, rm } from 'node:fs/promises';

import { hasErrno } from '../../core/errors.ts';
import type { Reaper } from '../../host/ledger.ts';
import type { SweepResult } from '../../host/sweep.ts';
import { type Sandboxes, toolsOf } from '../../sandbox/types.ts';
import { parseVmSandboxRecord, VM_OWNERS, type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

/** Ledger kind of a sandbox with machines that is bound to a kvci, or not yet whole. */
export const VM_FOLDER = 'machines';

/** What `prune` removes of machines whose kvci was killed. The sandbox of one that was bound has ended with it. */
export function vmReapers(sandboxes: Pick<Sandboxes, 'find'>): Reaper[] {
  return [
    {
      kind: VM_FOLDER,
      describe: (resource) => `machines in ${String(resource['folder'])}`,
      reap: async (resource) => {
        const path = String(resource['record']);
        const record = await readRecord(path);
        // The name may be another one's by now.
        const own = record?.folder === resource['folder'] ? record : undefined;
        if (own?.sandbox !== undefined) await (await sandboxes.find(own.sandbox))?.end();
        await rm(String(resource['folder']), { recursive: true, force: true });
        if (own !== undefined) await rm(path, { force: true });
      },
    },
  ];
}

/** Removes what is left of machines that were to stay and have ended, as after a reboot of the host. */
export async function removeEndedVms(directories: { readonly state: string }, sandboxes: Pick<Sandboxes, 'find'>): Promise<SweepResult> {
  const states = new VmSandboxRecords(directories);
  const ended: VmSandboxRecord[] = [];
  const { records, unreadable } = await states.listReadable();
  for (const record of records) {
    // One without a sandbox is being started, or is in the ledger.
    if (!record.keep || record.sandbox === undefined || (await sandboxes.find(record.sandbox)) !== undefined) continue;
    await rm(record.folder, { recursive: true, force: true });
    await states.remove(record.name);
    ended.push(record);
  }
  return { removed: ended.map(({ name }) => `what was left of the machine ${name}`), failed: unreadable };
}

/** Folders that machines stand on: their disks, as long as they are kept, and the tools image while they run. */
export async function foldersOfVms(
  directories: { readonly state: string },
  sandboxes: Pick<Sandboxes, 'find'>,
): Promise<readonly string[]> {
  const lists = await Promise.all(VM_OWNERS.map((owner) => new VmSandboxRecords(directories, owner).list()));
  const folders = await Promise.all(
    lists.flat().map(async ({ binds, sandbox }) => {
      // An engine has a copy of its own, and need not run.
      const running = sandbox === undefined || sandbox.kind === 'container' ? undefined : await sandboxes.find(sandbox);
      const tools = toolsOf(running?.record);
      return [...binds.map(({ host }) => host), ...(tools === undefined ? [] : [tools])];
    }),
  );
  return folders.flat();
}

async function readRecord(path: string): Promise<VmSandboxRecord | undefined> {
  try {
    return parseVmSandboxRecord(await readFile(path, 'utf8'), path);
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
