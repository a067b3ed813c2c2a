import { notRemoved, type SweepResult } from '../../host/sweep.ts';
import type { Claim } from '../container/lost-clusters.ts';
import { sourceOf, VmSandboxRecords } from './vm-record.ts';
import { endRecorded, type VmSandboxParts } from './vm-sandbox.ts';

/** Removes machines of clusters of which nothing is known any more. @param claim undefined for a cluster that is somebody's */
export async function removeLostVms(
  parts: Pick<VmSandboxParts, 'directories' | 'sandboxes'>,
  claim: (cluster: string) => Promise<Claim | undefined>,
): Promise<SweepResult> {
  const states = new VmSandboxRecords(parts.directories, 'cluster-machines');
  const removed: string[] = [];
  const failed: SweepResult['failed'][number][] = [];
  const { records, unreadable } = await states.listReadable();
  for (const record of records) {
    const what = `virtual machines of the cluster "${record.name}", whose state is lost`;
    try {
      await using held = await claim(record.name);
      if (held === undefined) continue;
      if (held.run !== undefined && record.source === sourceOf({ cluster: record.name, run: held.run })) continue;
      await endRecorded(parts, states, record);
      removed.push(what);
    } catch (error) {
      failed.push(notRemoved(what, error));
    }
  }
  return { removed, failed: [...failed, ...unreadable] };
}
