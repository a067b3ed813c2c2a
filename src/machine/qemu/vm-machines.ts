import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { KvciError } from '../../core/errors.ts';
import { compareNames } from '../../core/names.ts';
import { parseSize } from '../../core/sizes.ts';
import type { SshKeyPair } from '../../host/ssh.ts';
import { ownForwards } from '../container/own-forwards.ts';
import { lanNetwork, type LanOptions } from '../net/lan.ts';
import { leaveLan } from '../net/lan-services.ts';
import type { MachineNetwork, Machines, MachineSpec, MachinesSpec, NodeHandle } from '../types.ts';
import type { Acceleration } from '../vm-options.ts';
import { type DiskSource, filesOfDisk } from './disk-source.ts';
import { TRIAL_SIZE } from './kvm.ts';
import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import type { Accelerator } from './qemu-arguments.ts';
import { acceleratorFor, startVm, type VmSpec } from './start-vm.ts';
import { openVm, runningVms, type VmAccess } from './vm.ts';
import { consoleFile, vncSocket } from './vm-files.ts';
import { sourceOf, type VmSandboxRecord, VmSandboxRecords } from './vm-record.ts';
import { type VmPlaces, ownPlaces } from './vm-places.ts';
import { vmSnapshots } from './vm-snapshots.ts';
import { type VmSandbox, type VmSandboxParts, withHostNetwork } from './vm-sandbox.ts';

/** What a node gets where nobody says: kubeadm wants two processors and 1.7 GB of a control plane. */
const CPUS = 2;
const MEMORY = 3 * 2 ** 30;

/** For a hang: an emulated node beside others takes minutes. */
const BOOT_MS = 10 * 60_000;

/** A node that runs answers at once; one that is just restarting soon. */
const ENTER_MS = 2 * 60_000;

/** The machines of a cluster: one sandbox, which outlives kvci and goes with the cluster. */
export function vmMachines(
  parts: VmSandboxParts,
  disk: () => Promise<DiskSource>,
  spec: MachinesSpec,
  placesOver?: (records: VmSandboxRecords) => VmPlaces,
): Machines {
  const records = new VmSandboxRecords(parts.directories, 'cluster-machines');
  const places = placesOver?.(records) ?? ownPlaces(parts, records);
  const name = spec.cluster;
  let held: VmSandbox | undefined;
  let choosing: Promise<Accelerator> | undefined;
  const mayBeEmulated = (spec.acceleration ?? 'auto') === 'auto';
  const entered: VmAccess[] = [];

  /** What there is of this life of the cluster. */
  const recorded = async (): Promise<VmSandboxRecord | undefined> => {
    const record = await records.find(name);
    return record?.source === sourceOf(spec) ? record : undefined;
  };

  const running = async (): Promise<VmSandbox | undefined> => {
    const record = await recorded();
    // Whoever made way for another life has ended, though it was held.
    if (held !== undefined && held.record.folder === record?.folder) return held;
    return (held = record === undefined ? undefined : await places.open(record));
  };

  const make = async (lan: LanOptions, source: DiskSource, signal: AbortSignal, key?: SshKeyPair): Promise<VmSandbox> => {
    const other = await records.find(name);
    // Of an earlier life of the cluster, whose kvci was killed.
    if (other !== undefined) await places.end(other);
    const kind = spec.sandbox === undefined ? {} : { kind: spec.sandbox };
    const common = { name, owner: 'cluster-machines', source: sourceOf(spec), keep: true, engine: spec.engine, ...kind } as const;
    return places.start({ ...common, lan, files: filesOfDisk(source), disk: source, ...(key === undefined ? {} : { key }), signal });
  };

  /** That of the first node, also when another would be made today. */
  const diskOf = async ({ disk: kept }: VmSandboxRecord): Promise<DiskSource> => kept ?? (await disk());

  /** @throws KvciError `no-network` before there is one, `disks-lost` */
  const required = async (signal: AbortSignal): Promise<VmSandbox> => {
    const found = await running();
    if (found !== undefined) return found;
    const record = await recorded();
    if (record === undefined) throw new KvciError('bug', 'no-network', 'a cluster of virtual machines has its network first');
    const files = filesOfDisk(await diskOf(record));
    refuseLost(record, files);
    return (held = await places.restart(record, files, signal));
  };

  /** The same for all of them, found out and told once; what had KVM need not have it any more, as on another boot of the host. */
  const accelerator = async (sandbox: VmSandbox, signal: AbortSignal): Promise<Accelerator> => {
    const [known] = Object.values(sandbox.record.machines);
    if (known !== undefined && (known.accelerator === 'tcg' || !mayBeEmulated)) return known.accelerator;
    // Nodes that start together wait for one trial.
    choosing ??= trialSpec(sandbox).then((trial) => acceleratorFor(parts, sandbox, trial, signal));
    try {
      return await choosing;
    } catch (error) {
      choosing = undefined;
      throw error;
    }
  };
  // The processor is the nodes' own.
  const trialSpec = async ({ record }: VmSandbox): Promise<VmSpec> => ({
    ...vmSpec({ name: 'trial', addresses: {}, ...TRIAL_SIZE }, await diskOf(record), spec.acceleration ?? 'auto'),
    commonCpu: true,
  });
  const specOf = async (machine: MachineSpec, sandbox: VmSandbox, kind: Accelerator): Promise<VmSpec> => {
    const made = vmSpec(machine, await diskOf(sandbox.record), kind === 'kvm' ? 'kvm' : 'emulation');
    return { ...made, commonCpu: true, orEmulated: mayBeEmulated };
  };

  const access = async (sandbox: VmSandbox, node: string): Promise<VmAccess> => {
    const record = sandbox.record.machines[node];
    if (record === undefined) throw notFound(spec, node);
    const vm = await openVm(parts, sandbox, node, record);
    entered.push(vm);
    return vm;
  };

  const list = async (): ReturnType<Machines['list']> => {
    const record = await recorded();
    const sandbox = await running();
    const alive = sandbox === undefined ? new Set() : await runningVms(sandbox);
    return Object.keys(record?.machines ?? {})
      .toSorted(compareNames)
      .map((node) => ({ name: node, state: alive.has(node) ? ('running' as const) : ('stopped' as const) }));
  };

  /** @throws KvciError `node-not-found`, `node-stopped` */
  const requireRunning = async (node: string): Promise<{ readonly sandbox: VmSandbox; readonly record: VmSandboxRecord }> => {
    const known = (await list()).find((machine) => machine.name === node);
    if (known === undefined) throw notFound(spec, node);
    const sandbox = await running();
    if (known.state === 'running' && sandbox !== undefined) return { sandbox, record: sandbox.record };
    throw new KvciError('notFoundOrExists', 'node-stopped', `the node ${node} of cluster ${name} does not run`, {
      hint: `Start the cluster again: kvci start ${name}`,
    });
  };

  const forwards = async (signal: AbortSignal) => {
    const { runner, record } = await required(signal);
    const outer = await withHostNetwork(parts, record);
    return ownForwards({ sandbox: outer, network: runner }, name);
  };

  const snapshots = vmSnapshots({
    cluster: name,
    recorded,
    vms: parts,
    sandbox: required,
    make: async (before, source, signal) => (held = await make(before.lan, source, signal, before.key)),
    specOf: (machine, sandbox, { accelerator: kind }) => specOf(machine, sandbox, kind),
    entered: (vm) => entered.push(vm),
  });

  return {
    // Those that share a sandbox with others cannot be saved without them.
    ...(placesOver === undefined ? { snapshots } : {}),
    network: async (families, signal): Promise<MachineNetwork> => {
      const record = await recorded();
      if (record !== undefined) return lanNetwork(record.lan.families);
      held = await make({ families, routerAdvertisements: true, dhcpDelaySeconds: 0, outbound: true }, await disk(), signal);
      return lanNetwork(families);
    },
    schedule: async (signal) => ((await accelerator(await required(signal), signal)) === 'kvm' ? 'together' : 'in-turn'),
    start: async (machine, signal): Promise<NodeHandle> => {
      const sandbox = await required(signal);
      if ((await runningVms(sandbox)).has(machine.name)) {
        try {
          return await (await access(sandbox, machine.name)).node(BOOT_MS, signal);
        } catch (error) {
          if (!mayBeEmulated || !(error instanceof KvciError) || error.code !== 'kvm-unusable') throw error;
          // KVM failed it while nobody watched: it has been ended, and starts again as any that has died.
          choosing = undefined;
        }
      }
      await places.ready(sandbox, signal);
      const vm = await startVm(parts, sandbox, await specOf(machine, sandbox, await accelerator(sandbox, signal)), signal);
      entered.push(vm);
      return vm.node(BOOT_MS, signal);
    },
    node: async (node, signal = new AbortController().signal) => {
      const { sandbox } = await requireRunning(node);
      return (await access(sandbox, node)).node(ENTER_MS, signal);
    },
    list,
    stop: async (node, signal) => {
      const sandbox = await running();
      if (sandbox === undefined || !(await runningVms(sandbox)).has(node)) return;
      await (await access(sandbox, node)).stop(signal);
    },
    remove: async (node) => {
      const { signal } = new AbortController();
      if ((await recorded())?.machines[node] === undefined) return;
      const sandbox = await required(signal);
      const record = sandbox.record.machines[node];
      if (record === undefined) return;
      if ((await runningVms(sandbox)).has(node)) await (await access(sandbox, node)).kill();
      await leaveLan(sandbox.runner, node, record.addresses, signal);
      await sandbox.runner.run(['rm', '-rf', `${MACHINES_INSIDE}/${node}`]);
      await sandbox.forgetMachine(node);
    },
    console: async (node) => {
      const record = await recorded();
      if (record?.machines[node] === undefined) throw notFound(spec, node);
      return readFile(consoleFile(record, node), 'utf8');
    },
    terminal: async (node) => {
      const { sandbox, record } = await requireRunning(node);
      const socket = vncSocket(record, node);
      const machine = await access(sandbox, node);
      return {
        log: consoleFile(record, node),
        openConsole: () => machine.openConsole(),
        ...(existsSync(socket) ? { vnc: socket } : {}),
      };
    },
    balance: async (port, targets, signal) => {
      const record = await recorded();
      return (await forwards(signal)).balance(lanNetwork(record?.lan.families ?? []), port, targets, signal);
    },
    reach: async (port, hostPort, signal) => {
      const record = await recorded();
      return (await forwards(signal)).reach(lanNetwork(record?.lan.families ?? []), port, hostPort, signal);
    },
    forward: async (forward, targets, signal, wanted) => (await forwards(signal)).forward(forward, targets, signal, wanted),
    // What leads to the nodes keeps its port for them.
    rest: () => Promise.resolve(),
    destroy: async () => {
      const record = await records.find(name);
      if (record !== undefined) await places.end(record);
      held = undefined;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(entered.splice(0).map((vm) => vm[Symbol.asyncDispose]()));
    },
  };
}

function vmSpec({ name, addresses, cpus, memory, vm }: MachineSpec, disk: DiskSource, acceleration: Acceleration): VmSpec {
  return {
    name,
    addresses,
    cpus: cpus ?? Math.min(CPUS, availableParallelism()),
    memory: memory ?? MEMORY,
    disk,
    ...(vm?.diskSize === undefined ? {} : { diskSize: parseSize(vm.diskSize) }),
    firmware: disk.directBoot === undefined ? 'uefi' : 'direct',
    acceleration,
    cpuModel: vm?.cpuModel,
    kernelArguments: vm?.kargs ?? [],
    vnc: vm?.vnc,
    qemuArgs: vm?.qemuArgs,
    hostKey: 'given',
  };
}

/** Whoever empties the cache by hand takes the disks of machines that do not run. @throws KvciError `disks-lost` */
function refuseLost({ name, folder, machines }: VmSandboxRecord, files: readonly string[]): void {
  const lost = [...Object.keys(machines).map((node) => join(folder, node)), ...files].find((path) => !existsSync(path));
  if (lost === undefined) return;
  throw new KvciError('notFoundOrExists', 'disks-lost', `the disks of the nodes of "${name}" are gone: there is no ${lost}`, {
    hint: `They were in kvci's cache. Make the cluster anew: "kvci down ${name}", then "kvci up ${name}".`,
    facts: { cluster: name, path: lost },
  });
}

function notFound({ cluster }: MachinesSpec, node: string): KvciError {
  return new KvciError('notFoundOrExists', 'node-not-found', `the cluster ${cluster} has no node ${node}`, { facts: { cluster, node } });
}
