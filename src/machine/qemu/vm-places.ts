import type { VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';
import {
  endRecorded,
  openVmSandbox,
  restartVmSandbox,
  startVmSandbox,
  type VmSandbox,
  type VmSandboxParts,
  type VmSandboxRequest,
} from './vm-sandbox.ts';

/** Where the machines of a cluster are: in a sandbox of their own, or in one that they share. */
export interface VmPlaces {
  start(request: VmSandboxRequest): Promise<VmSandbox>;
  /** Undefined when it has ended, or was never finished. */
  open(record: VmSandboxRecord): Promise<VmSandbox | undefined>;
  /** Makes it anew when it cannot be opened: its machines are as their disks have them. @param files as when it was started first */
  restart(record: VmSandboxRecord, files: readonly string[], signal: AbortSignal): Promise<VmSandbox>;
  /** Resolves when a machine can be given its place in the network. */
  ready(sandbox: VmSandbox, signal: AbortSignal): Promise<void>;
  /** Ends it with all that its machines wrote. */
  end(record: VmSandboxRecord): Promise<void>;
}

export function ownPlaces(parts: VmSandboxParts, records: VmSandboxRecords): VmPlaces {
  return {
    start: (request) => startVmSandbox(parts, request),
    open: (record) => (record.unfinished === true ? Promise.resolve(undefined) : openVmSandbox(parts, records, record)),
    restart: (record, files, signal) => restartVmSandbox(parts, records, record, files, signal),
    ready: () => Promise.resolve(),
    end: (record) => endRecorded(parts, records, record),
  };
}
