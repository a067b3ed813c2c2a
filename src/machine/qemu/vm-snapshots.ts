import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { KvciError } from '../../core/errors.ts';
import { asDiskFull } from '../../host/files.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { Architecture } from '../../payload/types.ts';
import type { MachineSnapshots, SavedMachine, SavedMachines } from '../saved-machines.ts';
import type { MachineSpec } from '../types.ts';
import { deviceInside } from './accelerate.ts';
import { type DiskSource, filesOfDisk } from './disk-source.ts';
import { readVerdict } from './kvm.ts';
import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import { boardOf, knowsGeneration, qemuProgram } from './qemu-arguments.ts';
import { renewKeysOf } from './renew-keys.ts';
import { saveVms } from './save-vms.ts';
import { dropChildren, linkSaved, makeChild } from './saved-disks.ts';
import { unfit } from './saved-fit.ts';
import { loadDevices, loading } from './saved-state.ts';
import { startVm, type VmSpec } from './start-vm.ts';
import { openVm, runningVms, type VmAccess } from './vm.ts';
import { savedFiles, socketsOf } from './vm-files.ts';
import { formatVmSandboxRecord, parseVmSandboxRecord, type VmRecord, type VmSandboxRecord } from './vm-record.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';
import { connectMonitor } from './vm-sockets.ts';

export interface VmSnapshotParts {
  readonly vms: VmSandboxParts;
  /** The sandbox of the cluster, started anew where it has ended. */
  readonly sandbox: (signal: AbortSignal) => Promise<VmSandbox>;
  /** Makes the sandbox of a cluster that has none, as one was. */
  readonly make: (before: VmSandboxRecord, disk: DiskSource, signal: AbortSignal) => Promise<VmSandbox>;
  readonly specOf: (machine: MachineSpec, sandbox: VmSandbox, record: VmRecord) => Promise<VmSpec>;
  /** Takes care of what a process holds of a machine. */
  readonly entered: (vm: VmAccess) => void;
}

/** What the machines of a cluster write while they are saved, in their folder: gone with the next save, and with the cluster. */
const STAGE = '.saving';

/** A machine that has just gone on answers within seconds, beside many others within minutes. */
const ENTER_MS = 5 * 60_000;

/** Saving virtual machines and starting them as they were. */
export function vmSnapshots({ vms, sandbox: sandboxOf, make, specOf, entered }: VmSnapshotParts): MachineSnapshots {
  /** Starts all machines from what is in their folders, as they are to be at one instant. */
  const startAll = async (
    sandbox: VmSandbox,
    records: VmSandboxRecord['machines'],
    machines: readonly MachineSpec[],
    signal: AbortSignal,
  ) => {
    const started = await Promise.all(
      machines.map(async (machine) => {
        const record = recordOf(records, machine.name);
        const disks = record.saved?.disks ?? 0;
        const spec = { ...(await specOf(machine, sandbox, record)), saved: { hostKey: record.hostKey, disks } };
        await makeChild(sandbox, machine.name, disks, signal);
        entered(await startVm(vms, sandbox, spec, signal));
        const load = loading(machine.name);
        const qmp = await connectMonitor(sandbox, socketsOf(machine.name).monitors[1], machine.name, load.onEvent);
        await loadDevices(qmp, machine.name, savedFiles(machine.name).devices, load);
        return qmp;
      }),
    );
    await Promise.all(started.map((qmp) => qmp.execute('cont')));
    for (const qmp of started) qmp[Symbol.dispose]();
  };

  return {
    renewsRandomNumbers: knowsGeneration(vms.architecture),
    save: async (folder, machines, signal) => {
      const sandbox = await sandboxOf(signal);
      const stage = join(sandbox.record.folder, STAGE);
      await rm(stage, { recursive: true, force: true });
      try {
        const { disks, pausedMs } = await saveVms(vms, sandbox, `${MACHINES_INSIDE}/${STAGE}`, signal);
        const saved = await savedMachines(vms, sandbox, machines, disks, pausedMs, specOf);
        await rename(stage, folder);
        return saved;
      } catch (error) {
        await rm(stage, { recursive: true, force: true });
        throw asDiskFull(error, sandbox.record.folder);
      }
    },
    restore: async (saved, { folder, files, cold }, machines, signal) => {
      const before = parseVmSandboxRecord(saved.record, folder);
      const sandbox = await make(before, diskOf(before, files), signal);
      const link = (name: string): Promise<void> => linkSaved(join(folder, name), join(sandbox.record.folder, name));
      await Promise.all(machines.map(({ name }) => link(name)));
      if (cold) {
        await Promise.all(machines.map(({ name }) => makeChild(sandbox, name, saved.machines[name]?.disks ?? 0, signal)));
        return;
      }
      const models = machines.map(async (machine) => {
        const record = before.machines[machine.name];
        return [machine.name, record === undefined ? '' : ((await specOf(machine, sandbox, record)).cpuModel ?? '')] as const;
      });
      await refuseUnfit(vms, sandbox, saved, Object.fromEntries(await Promise.all(models)));
      await startAll(sandbox, before.machines, machines, signal);
    },
    renewKeys: async (machines, signal) => {
      const sandbox = await sandboxOf(signal);
      const key = vms.ssh.newKeyPair('kvci');
      const renewed = await Promise.all(
        machines.map(async ({ name }) => {
          const record = sandbox.record.machines[name];
          if (record === undefined) throw new KvciError('bug', 'no-machine', `there is no machine ${name} to renew the keys of`);
          await using machine = await openVm(vms, sandbox, name, record);
          const hostKey = record.hostKey === undefined ? undefined : vms.ssh.newKeyPair(name);
          await renewKeysOf(await machine.node(ENTER_MS, signal), key, hostKey, signal);
          return { name, record: { ...record, hostKey } };
        }),
      );
      await sandbox.keepKey(key);
      for (const { name, record } of renewed) await sandbox.keepMachine(name, record);
    },
    reset: async (machines, signal) => {
      const sandbox = await sandboxOf(signal);
      const records = sandbox.record.machines;
      for (const { name } of machines) recordOf(records, name);
      const running = await runningVms(sandbox);
      const alive = machines.filter(({ name }) => running.has(name));
      await Promise.all(alive.map(async ({ name }) => (await openVm(vms, sandbox, name, recordOf(records, name))).kill()));
      await Promise.all(machines.map(({ name }) => dropChildren(sandbox, name, recordOf(records, name), signal)));
      await startAll(sandbox, records, machines, signal);
    },
  };
}

/** @throws KvciError `never-saved` */
function recordOf(records: VmSandboxRecord['machines'], name: string): VmRecord {
  const record = records[name];
  if (record?.saved !== undefined) return record;
  throw new KvciError('notFoundOrExists', 'never-saved', `there is no saved state of ${name}`, {
    hint: 'Save the cluster first: kvci snapshot save',
    facts: { node: name },
  });
}

async function savedMachines(
  { architecture }: VmSandboxParts,
  sandbox: VmSandbox,
  machines: readonly MachineSpec[],
  disks: Readonly<Record<string, number>>,
  pausedMs: number,
  specOf: VmSnapshotParts['specOf'],
): Promise<SavedMachines> {
  const { record } = sandbox;
  const entries = machines.map(async (machine): Promise<readonly [string, SavedMachine]> => {
    const one = recordOf(record.machines, machine.name);
    const { accelerator, firmware, cpus, memory } = one;
    const { cpuModel = '' } = await specOf(machine, sandbox, one);
    const extents = await dataExtents(sandbox.runner, `${MACHINES_INSIDE}/${STAGE}/${machine.name}/memory`);
    const board = boardOf(architecture);
    return [machine.name, { accelerator, board, cpuModel, firmware, cpus, memory, disks: disks[machine.name] ?? 0, extents }];
  });
  return {
    qemu: await qemuRelease(sandbox, architecture),
    architecture,
    files: record.disk === undefined ? [] : filesOfDisk(record.disk),
    pausedMs,
    machines: Object.fromEntries(await Promise.all(entries)),
    record: formatVmSandboxRecord({ ...record, sandbox: undefined }),
  };
}

const mapSchema = z.array(z.object({ start: z.number(), length: z.number(), data: z.boolean() }));

/** Where a sparse file holds data, as its file system tells. */
async function dataExtents(runner: CommandRunner, file: string): Promise<SavedMachine['extents']> {
  const { stdout } = await runner.run(['qemu-img', 'map', '-f', 'raw', '--output=json', file]);
  const pieces = mapSchema.parse(JSON.parse(stdout));
  return pieces.flatMap(({ start, length, data }) => (data ? [[start, length] as const] : []));
}

/** @throws KvciError `snapshot-refused` with all that differs */
async function refuseUnfit(
  { architecture, directories }: VmSandboxParts,
  sandbox: VmSandbox,
  saved: SavedMachines,
  cpuModels: Readonly<Record<string, string>>,
): Promise<void> {
  const qemu = await qemuRelease(sandbox, architecture);
  const wantsKvm = Object.values(saved.machines).some(({ accelerator }) => accelerator === 'kvm');
  const kvm =
    wantsKvm &&
    (await deviceInside(sandbox.runner, '/dev/kvm')) === 'usable' &&
    (await readVerdict(directories.state, qemu))?.usable !== false;
  const differing = unfit(saved, { qemu, architecture, board: boardOf(architecture), kvm, cpuModels });
  if (differing.length === 0) return;
  throw new KvciError('failed', 'snapshot-refused', ['what was saved cannot go on here:', ...differing].join('\n  '), {
    hint: 'Make the snapshot anew with this kvci, or start the cluster from its disks: add --cold.',
    facts: { differing },
  });
}

/** The first line of what QEMU says of its version. */
async function qemuRelease({ runner }: VmSandbox, architecture: Architecture): Promise<string> {
  return (await runner.run([qemuProgram(architecture), '--version'])).stdout.split('\n')[0] ?? '';
}

function diskOf({ disk }: VmSandboxRecord, [path = '', kernel = '', initramfs = '']: readonly string[]): DiskSource {
  const directBoot = disk?.directBoot;
  return {
    path,
    ...(disk?.architecture === undefined ? {} : { architecture: disk.architecture }),
    ...(directBoot === undefined ? {} : { directBoot: { kernel, initramfs, arguments: directBoot.arguments } }),
  };
}
