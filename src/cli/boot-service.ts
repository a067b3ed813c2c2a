import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { lanAddresses } from '../machine/net/lan.ts';
import { type DiskSource, filesOfDisk } from '../machine/qemu/disk-source.ts';
import { keepConsole } from '../machine/qemu/kept-console.ts';
import type { Firmware } from '../machine/qemu/qemu-arguments.ts';
import { startVm, type VmSpec } from '../machine/qemu/start-vm.ts';
import { openVm, type Vm } from '../machine/qemu/vm.ts';
import { consoleFile } from '../machine/qemu/vm-files.ts';
import { VmSandboxRecords } from '../machine/qemu/vm-record.ts';
import { endVmSandbox, findVmSandbox, startVmSandbox, type VmSandbox, type VmSandboxParts } from '../machine/qemu/vm-sandbox.ts';
import type { AttachedStreams } from '../machine/types.ts';
import { type KeptConsole, reach, untilLeft } from './boot-console.ts';
import type { BootedMachine, BootRequest, BootService } from './services.ts';

export interface BootServiceParts {
  readonly vms: () => Promise<VmSandboxParts>;
  readonly disk: (request: BootRequest, run: RunContext) => Promise<DiskSource>;
  /** The terminal or pipes of this process. */
  readonly streams: () => AttachedStreams & AsyncDisposable;
}

/** For a hang: a machine that is entered answers already, or is on its way through a reboot. */
const ENTER_MS = 60_000;

/** What runs when no command is given. */
const SHELL = ['/bin/bash', '--login'] as const;

/** Machines that are looked at by a person, one in each sandbox. */
export function createBootService({ vms, disk, streams }: BootServiceParts): BootService {
  return {
    boot: async (request, run) => {
      const parts = await vms();
      const source = await disk(request, run);
      await using sandbox = await startVmSandbox(parts, {
        name: request.name,
        source: request.what,
        lan: { families: request.families, routerAdvertisements: true, dhcpDelaySeconds: 0 },
        files: filesOfDisk(source),
        keep: request.keep,
        kind: request.sandbox,
        signal: run.signal,
      });
      let vm: Vm;
      try {
        vm = await startVm(parts, sandbox, specOf(request, source), run.signal);
      } catch (error) {
        // Nobody could look at what has not even started.
        await sandbox.end();
        throw error;
      }
      try {
        return request.keep
          ? await untilEntered(vm, request, run)
          : await untilLeft(vm, request, streams, consoleOf(sandbox, request, parts), run);
      } catch (error) {
        // Who cancels does not want it to stay.
        if (run.signal.aborted) await sandbox.end();
        throw await withConsole(error, sandbox, request, parts);
      } finally {
        await vm[Symbol.asyncDispose]();
      }
    },
    enter: async (name, argv, run) => {
      const parts = await vms();
      await using sandbox = await findVmSandbox(parts, name);
      const record = sandbox.record.machines[name];
      if (record === undefined) throw new KvciError('notFoundOrExists', 'machine-ended', `the machine "${name}" has not started yet`);
      await using vm = await openVm(parts, sandbox, name, record);
      const node = await vm.node(ENTER_MS, run.signal);
      await using attached = streams();
      const [file, ...args] = argv;
      return await node.attach(file === undefined ? SHELL : [file, ...args], { ...attached, signal: run.signal });
    },
    list: async () => {
      const { sandboxes, directories, events } = await vms();
      const { records, unreadable } = await new VmSandboxRecords(directories).listReadable();
      for (const { message, hint } of unreadable) {
        events({ type: 'problem', level: 'warning', message, ...(hint === undefined ? {} : { hint }) });
      }
      return Promise.all(
        records.map(async ({ name, source, createdAt, keep, machines, sandbox }) => {
          const running = sandbox !== undefined && (await sandboxes.find(sandbox)) !== undefined;
          return { name, source, createdAt, keep, running, addresses: machines[name]?.addresses ?? {} };
        }),
      );
    },
    end: async (name) => endVmSandbox(await vms(), name),
  };
}

function specOf(request: BootRequest, disk: DiskSource): VmSpec {
  const { name, cpus, memory, diskSize, acceleration, families } = request;
  const firmware: Firmware = request.firmware ?? (disk.directBoot === undefined ? 'uefi' : 'direct');
  return {
    name,
    addresses: lanAddresses(families, 1),
    cpus,
    memory,
    disk,
    ...(diskSize === undefined ? {} : { diskSize }),
    firmware,
    acceleration,
    kernelArguments: [],
    hostKey: 'given',
  };
}

async function untilEntered(vm: Vm, request: BootRequest, run: RunContext): Promise<BootedMachine> {
  const { ms } = await reach(vm, request, run);
  const { accelerator, firmware, addresses } = vm.record;
  return { name: request.name, accelerator, firmware, addresses, sshMs: ms, running: true };
}

function consoleOf({ record }: VmSandbox, { name }: BootRequest, { directories, clock }: VmSandboxParts): KeptConsole {
  const file = consoleFile(record, name);
  return { file, keep: () => keepConsole(file, name, directories.state, clock.now()) };
}

/** The console of a machine that failed is kept, and the error tells where. */
async function withConsole(error: unknown, sandbox: VmSandbox, request: BootRequest, parts: VmSandboxParts): Promise<unknown> {
  if (!(error instanceof KvciError) || error.code === 'cancelled') return error;
  const { name, keep } = request;
  const file = await consoleOf(sandbox, request, parts).keep();
  const hint = [
    ...(error.hint === undefined ? [] : [error.hint]),
    `The whole console: ${file}`,
    ...(keep ? [`The machine is still there: "kvci disk boot --end ${name}" ends it.`] : []),
  ].join('\n');
  return new KvciError(error.reason, error.code, error.message, { hint, facts: { ...error.facts, console: file }, cause: error.cause });
}
