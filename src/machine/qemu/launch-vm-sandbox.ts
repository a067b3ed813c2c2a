import { dirname } from 'node:path';

import type { CommandRunner } from '../../host/types.ts';
import type { SandboxFiles, SandboxRecord, SandboxRequest, Sandboxes } from '../../sandbox/types.ts';
import { lanSettings } from '../net/lan.ts';
import type { VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';

/** Where a sandbox sees what its machines write. */
export const MACHINES_INSIDE = '/machines';

export interface Launched {
  readonly started: VmSandboxRecord;
  readonly runner: CommandRunner & SandboxFiles;
  readonly endSandbox: () => Promise<void>;
}

/** The sandbox alone, written down when it runs. */
export async function launch(
  sandboxes: Sandboxes,
  records: VmSandboxRecords,
  record: VmSandboxRecord,
  signal: AbortSignal,
): Promise<Launched> {
  let started = record;
  const keepRecord = async (sandbox: SandboxRecord): Promise<void> => {
    started = { ...record, sandbox };
    await records.write(started);
  };
  const asked: SandboxRequest = {
    ...(record.kind === undefined ? {} : { kind: record.kind }),
    ...(record.engine === undefined ? {} : { engine: record.engine }),
    name: `machines ${record.name}`,
    binds: [
      ...record.binds.map((bind) => ({ ...bind, writable: false })),
      { host: record.folder, inside: MACHINES_INSIDE, writable: true },
    ],
    network: 'private',
    outbound: record.lan.outbound ?? false,
    settings: lanSettings(record.lan, record.kind),
    cgroups: false,
    signal,
  };
  if (record.keep) {
    const sandbox = await sandboxes.startDetached(asked, keepRecord);
    return { started, runner: sandbox, endSandbox: () => sandbox.end() };
  }
  const sandbox = await sandboxes.start(asked);
  const endSandbox = async (): Promise<void> => {
    await sandbox[Symbol.asyncDispose]();
  };
  try {
    await keepRecord(sandbox.record);
  } catch (error) {
    await endSandbox();
    throw error;
  }
  return { started, runner: sandbox, endSandbox };
}

/** Where a sandbox sees the folders of files. */
export function bindsOf(files: readonly string[]): VmSandboxRecord['binds'] {
  const folders = new Set(files.map((file) => dirname(file)));
  return [...folders].map((host, index) => ({ host, inside: `/files/${index}` }));
}
