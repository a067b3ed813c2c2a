import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { allOf } from '../../core/all-of.ts';
import { KvciError } from '../../core/errors.ts';
import { asDiskFull } from '../../host/files.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { MachineSnapshots, SavedMachine, SavedMachines } from '../saved-machines.ts';
import type { MachineSpec } from '../types.ts';
import { deviceInside, qemuRelease } from './accelerate.ts';
import { type DiskSource, filesOfDisk } from './disk-source.ts';
import { readVerdict } from './kvm.ts';
import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import { boardOf, knowsGeneration } from './qemu-arguments.ts';
import { renewKeysOf } from './renew-keys.ts';
import { dropUnused, type SavedVms, saveVms } from './save-vms.ts';
import { dropChildren, linkSaved } from './saved-disks.ts';
import { unfit } from './saved-fit.ts';
import { loadDevices, loading } from './saved-state.ts';
import { cpuModelOf, startVm, type VmSpec } from './start-vm.ts';
import { takeTurn } from './turn.ts';
import { openVm, runningVms, type VmAccess } from './vm.ts';
import { savedFiles, savedFolder, socketsOf } from './vm-files.ts';
import { formatVmSandboxRecord, parseVmSandboxRecord, type SavedVm, type VmRecord, type VmSandboxRecord } from './vm-record.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';
import { connectMonitor } from './vm-sockets.ts';

export interface VmSnapshotParts {
  readonly cluster: string;
  /** What is known of it. */
  readonly recorded: () => Promise<VmSandboxRecord | undefined>;
  readonly vms: VmSandboxParts;
  /** The sandbox of the cluster, started anew where it has ended. */
  readonly sandbox: (signal: AbortSignal) => Promise<VmSandbox>;
  /** Makes the sandbox of a cluster that has none, as one was. */
  readonly make: (before: VmSandboxRecord, disk: DiskSource, signal: AbortSignal) => Promise<VmSandbox>;
  readonly specOf: (machine: MachineSpec, sandbox: VmSandbox, record: VmRecord) => Promise<VmSpec>;
  /** Takes care of what a process holds of a machine. */
  readonly entered: (vm: VmAccess) => void;
}

/** Of a machine that can go back. */
type SavedRecord = VmRecord & { readonly saved: SavedVm };

/** What the machines of a cluster write while they are saved, in their folder: gone with the next save, and with the cluster. */
const STAGE = '.saving';

/** A machine that has just gone on answers within seconds, beside many others within minutes. */
const ENTER_MS = 5 * 60_000;

/** Saving virtual machines and starting them as they were. */
export function vmSnapshots({ cluster, recorded, vms, sandbox: sandboxOf, make, specOf, entered }: VmSnapshotParts): MachineSnapshots {
  /** Starts all machines from what is in their folders, as they are to be at one instant. */
  const startAll = async (
    sandbox: VmSandbox,
    records: VmSandboxRecord['machines'],
    machines: readonly MachineSpec[],
    signal: AbortSignal,
  ) => {
    const started = await allOf(
      machines.map(async (machine) => {
        const { name } = machine;
        const record = recordOf(records, name);
        const made = await specOf(machine, sandbox, record);
        // That of what was saved, whatever it would be today.
        const spec = { ...made, cpuModel: record.cpuModel ?? made.cpuModel, saved: record.saved };
        entered(await startVm(vms, sandbox, spec, signal));
        const load = loading(name);
        const qmp = await connectMonitor(sandbox, socketsOf(name).monitors[1], name, load.onEvent);
        await loadDevices(qmp, name, savedFiles(name, record.saved.folder).devices, load);
        return qmp;
      }),
    );
    await Promise.all(started.map((qmp) => qmp.execute('cont')));
    for (const qmp of started) qmp[Symbol.dispose]();
  };

  /** Gives a machine that has gone back the keys that it had before that. */
  const keepKeys = async (sandbox: VmSandbox, name: string, record: SavedRecord, signal: AbortSignal): Promise<void> => {
    const { keys } = record.saved;
    if (keys === undefined) return;
    const earlier = { ...sandbox, record: { ...sandbox.record, key: keys.user } };
    await using machine = await openVm(vms, earlier, name, { ...record, hostKey: keys.host });
    await renewKeysOf(await machine.node(ENTER_MS, signal), sandbox.record.key, record.hostKey, signal);
  };

  return {
    renewsRandomNumbers: knowsGeneration(vms.architecture),
    save: async (folder, machines, instant, signal) => {
      const sandbox = await sandboxOf(signal);
      const stage = join(sandbox.record.folder, STAGE);
      await rm(stage, { recursive: true, force: true });
      try {
        const place = { folder: `${MACHINES_INSIDE}/${STAGE}`, own: savedFolder(folder) };
        const saved = await savedMachines(vms, sandbox, machines, await saveVms(vms, sandbox, place, instant, signal), place.own, specOf);
        await rename(stage, folder);
        return saved;
      } catch (error) {
        await rm(stage, { recursive: true, force: true });
        throw asDiskFull(error, sandbox.record.folder);
      }
    },
    adopt: async (folder, { machines }, signal) => {
      const sandbox = await sandboxOf(signal);
      await sandbox.keepMachines(savedRecords(sandbox.record.machines, machines, savedFolder(folder)));
      await dropAllUnused(sandbox, signal);
    },
    recover: async (signal) => {
      const sandbox = await sandboxOf(signal);
      await dropAllUnused(sandbox, signal);
      const running = [...(await runningVms(sandbox))];
      await Promise.all(running.map((name) => goOn(sandbox, name, signal)));
    },
    turn: async (saved, mayStandBack, signal) => {
      const machines = Object.values(saved?.machines ?? (await recorded())?.machines ?? {});
      const isEmulated = machines.some(({ accelerator }) => accelerator === 'tcg');
      return isEmulated ? await takeTurn(vms, cluster, mayStandBack, signal) : new AsyncDisposableStack();
    },
    restore: async (saved, { folder, files, cold }, machines, signal) => {
      const before = parseVmSandboxRecord(saved.record, folder);
      const sandbox = await make(before, diskOf(before, files), signal);
      const own = savedFolder(folder);
      const records = savedRecords(before.machines, saved.machines, own);
      // Nothing is to run that cannot go on, and QEMU takes a while to say its version.
      const fits = async (): Promise<void> => {
        const models = machines.map(async (machine) => {
          const record = recordOf(records, machine.name);
          return [machine.name, cpuModelOf(vms, await specOf(machine, sandbox, record), record.accelerator)] as const;
        });
        await refuseUnfit(vms, sandbox, saved, Object.fromEntries(await Promise.all(models)));
      };
      const links = async (): Promise<void> => {
        // Before the disks are there: whoever starts what a killed one has left must know that they are frozen.
        await sandbox.keepMachines(records);
        await Promise.all(machines.map(({ name }) => linkSaved(join(folder, name), join(sandbox.record.folder, name), own)));
      };
      await allOf([...(cold ? [] : [fits()]), links()]);
      if (!cold) await startAll(sandbox, records, machines, signal);
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
          const { saved } = record;
          const keys = saved?.keys ?? { user: sandbox.record.key, host: record.hostKey };
          return [name, { ...record, hostKey, ...(saved === undefined ? {} : { saved: { ...saved, keys } }) }] as const;
        }),
      );
      await sandbox.keepKey(key);
      await sandbox.keepMachines(Object.fromEntries(renewed));
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
      // Those that it went back to are known to others.
      await Promise.all(machines.map(({ name }) => keepKeys(sandbox, name, recordOf(records, name), signal)));
    },
  };
}

/** What is known of machines once they can go back to what was saved of them. @param folder of their own */
function savedRecords(
  records: VmSandboxRecord['machines'],
  machines: SavedMachines['machines'],
  folder: string,
): VmSandboxRecord['machines'] {
  const saved = Object.entries(records).flatMap(([name, record]) => {
    const disks = machines[name]?.disks;
    return disks === undefined ? [] : [[name, { ...record, saved: { disks, folder } }] as const];
  });
  return Object.fromEntries(saved);
}

async function dropAllUnused({ runner, record }: VmSandbox, signal: AbortSignal): Promise<void> {
  const all = Object.entries(record.machines);
  await Promise.all(all.map(([name, { saved }]) => dropUnused(runner, name, saved?.folder, signal)));
}

/** Lets a machine go on that found no room to write; nothing happens to one that runs. */
async function goOn(sandbox: VmSandbox, name: string, signal: AbortSignal): Promise<void> {
  using qmp = await connectMonitor(sandbox, socketsOf(name).monitors[1], name, () => undefined, signal);
  await qmp.execute('cont');
}

/** @throws KvciError `never-saved` */
function recordOf(records: VmSandboxRecord['machines'], name: string): SavedRecord {
  const record = records[name];
  if (record?.saved !== undefined) return { ...record, saved: record.saved };
  throw new KvciError('notFoundOrExists', 'never-saved', `there is no saved state of ${name}`, {
    hint: 'Save the cluster first: kvci snapshot save',
    facts: { node: name },
  });
}

async function savedMachines(
  vms: VmSandboxParts,
  sandbox: VmSandbox,
  machines: readonly MachineSpec[],
  { disks, pausedMs }: SavedVms,
  own: string,
  specOf: VmSnapshotParts['specOf'],
): Promise<SavedMachines> {
  const { record } = sandbox;
  const { architecture } = vms;
  const entries = machines.map(async (machine): Promise<readonly [string, SavedMachine]> => {
    const one = record.machines[machine.name];
    if (one === undefined) throw new KvciError('bug', 'no-machine', `there is no machine ${machine.name} that was saved`);
    const { accelerator, firmware, cpus, memory } = one;
    const cpuModel = one.cpuModel ?? cpuModelOf(vms, await specOf(machine, sandbox, one), accelerator);
    const extents = await dataExtents(sandbox.runner, `${MACHINES_INSIDE}/${STAGE}/${machine.name}/memory`);
    const board = boardOf(architecture);
    return [machine.name, { accelerator, board, cpuModel, firmware, cpus, memory, disks: disks[machine.name] ?? 0, extents }];
  });
  const saved = Object.fromEntries(await Promise.all(entries));
  return {
    qemu: await qemuRelease(sandbox.runner, architecture),
    architecture,
    files: record.disk === undefined ? [] : filesOfDisk(record.disk),
    pausedMs,
    machines: saved,
    record: formatVmSandboxRecord({ ...record, sandbox: undefined, machines: savedRecords(record.machines, saved, own) }),
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
  const qemu = await qemuRelease(sandbox.runner, architecture);
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

function diskOf({ disk }: VmSandboxRecord, [path = '', kernel = '', initramfs = '']: readonly string[]): DiskSource {
  const directBoot = disk?.directBoot;
  return {
    path,
    ...(disk?.architecture === undefined ? {} : { architecture: disk.architecture }),
    ...(directBoot === undefined ? {} : { directBoot: { kernel, initramfs, arguments: directBoot.arguments } }),
  };
}
