import { randomBytes } from 'node:crypto';

import { KvciError } from '../core/errors.ts';
import type { EventSink } from '../core/events.ts';
import { lastLines } from '../host/command-error.ts';
import { lanAddresses } from '../machine/net/lan.ts';
import { LEASES } from '../machine/net/lan-services.ts';
import { plain } from '../machine/qemu/console-cause.ts';
import { type DiskSource, filesOfDisk } from '../machine/qemu/disk-source.ts';
import { keepConsole } from '../machine/qemu/kept-console.ts';
import type { Acceleration } from '../machine/vm-options.ts';
import { roomFor, startVm, type VmSpec } from '../machine/qemu/start-vm.ts';
import type { Vm } from '../machine/qemu/vm.ts';
import { consoleFile } from '../machine/qemu/vm-files.ts';
import { startVmSandbox, type VmSandbox, type VmSandboxParts } from '../machine/qemu/vm-sandbox.ts';
import type { NodeHandle } from '../machine/types.ts';
import type { SandboxKind } from '../sandbox/types.ts';
import type { TestBench, TestNode } from './bench.ts';
import { type LeaseWatch, watchLeases } from './lease-times.ts';
import type { NetworkCase } from './network-cases.ts';

/** For a hang: emulated machines take half a minute, and several times that beside others. */
const BOOT_DEADLINE_MS = 10 * 60_000;

/** Enough for the container runtime and a kubelet without a cluster. */
const CPUS = 2;
const MEMORY = 2 * 1024 ** 3;

/** Of the console of a machine that did not come up. */
const CONSOLE_LINES = 40;

export interface MachineBenchParts {
  readonly vms: VmSandboxParts;
  readonly disk: DiskSource;
  /** Bytes of the machines' own disks; undefined: as large as the one they are copies of. */
  readonly diskSize: number | undefined;
  readonly acceleration: Acceleration;
  readonly sandbox: SandboxKind;
}

/** Copies of a disk as machines, each alone in a sandbox with a network of the kind that is asked for. */
export function machineBench(parts: MachineBenchParts): TestBench {
  let accelerator: string | undefined;
  const vms = { ...parts.vms, events: sayingOnce(parts.vms.events) };
  return {
    get accelerator() {
      return accelerator;
    },
    room: () => roomFor(MEMORY, vms),
    boot: async (name, network, signal) => {
      if (network === undefined) throw new KvciError('bug', 'no-network', 'a machine is tested in a network');
      await using undo = new AsyncDisposableStack();
      const sandbox = undo.use(await startVmSandbox(vms, sandboxRequest(name, network, parts, signal)));
      const vm = undo.use(await startVm(vms, sandbox, specOf(name, network, parts), signal));
      const leases = undo.use(watchLeases(sandbox.outside(LEASES), vm.record.addresses, vms.clock));
      const node = await testNode(vm, sandbox, leases, vms, signal);
      // Known when it is up: one that KVM fails goes on without it.
      accelerator = vm.record.accelerator;
      const resources = undo.move();
      return Object.assign(node, { [Symbol.asyncDispose]: () => resources.disposeAsync() });
    },
  };
}

/** Every machine has the same to tell of this host. */
function sayingOnce(events: EventSink): EventSink {
  const said = new Set<string>();
  return (event) => {
    if (event.type === 'problem' && said.has(event.message)) return;
    if (event.type === 'problem') said.add(event.message);
    events(event);
  };
}

function sandboxRequest(
  name: string,
  { families, routerAdvertisements, dhcpDelay }: NetworkCase,
  { disk, sandbox }: MachineBenchParts,
  signal: AbortSignal,
): Parameters<typeof startVmSandbox>[1] {
  return {
    name: `verify-${randomBytes(3).toString('hex')}-${name}`,
    source: disk.path,
    lan: { families, routerAdvertisements, dhcpDelaySeconds: dhcpDelay },
    files: filesOfDisk(disk),
    keep: false,
    kind: sandbox,
    signal,
  };
}

function specOf(name: string, { families, boot }: NetworkCase, { disk, diskSize, acceleration }: MachineBenchParts): VmSpec {
  return {
    name,
    addresses: lanAddresses(families, 1),
    cpus: CPUS,
    memory: MEMORY,
    disk,
    ...(diskSize === undefined ? {} : { diskSize }),
    firmware: boot === 'direct' && disk.directBoot !== undefined ? 'direct' : 'uefi',
    acceleration,
    kernelArguments: [],
    // What the image makes itself is what has to be seen.
    hostKey: 'own',
  };
}

async function testNode(
  vm: Vm,
  sandbox: VmSandbox,
  leases: LeaseWatch,
  parts: VmSandboxParts,
  signal: AbortSignal,
): Promise<Omit<TestNode, keyof AsyncDisposable>> {
  const { clock } = parts;
  const reach = async (enter: () => Promise<NodeHandle>): Promise<{ readonly handle: NodeHandle; readonly commands: number }> => {
    const began = clock.monotonic();
    try {
      const handle = await enter();
      return { handle, commands: clock.monotonic() - began };
    } catch (error) {
      throw await withConsole(error, vm, sandbox, parts);
    }
  };
  let { handle, commands } = await reach(() => vm.node(BOOT_DEADLINE_MS, signal));
  return {
    get handle() {
      return handle;
    },
    times: () => ({ ...leases.seen(), commands }),
    reboot: async (stop) => {
      ({ handle, commands } = await reach(() => vm.reboot(BOOT_DEADLINE_MS, stop)));
    },
  };
}

/** The last lines of a console beside what is said of the machine; the whole of it is kept. */
async function withConsole(error: unknown, vm: Vm, sandbox: VmSandbox, { directories, clock }: VmSandboxParts): Promise<unknown> {
  if (!(error instanceof KvciError) || !['machine-not-reachable', 'machine-ended'].includes(error.code)) return error;
  const { reason, code, message, hint, facts } = error;
  const kept = await keepConsole(consoleFile(sandbox.record, vm.name), sandbox.record.name, directories.state, clock.now());
  const console = `${lastLines(plain(await vm.console()), CONSOLE_LINES)}\n(all of it: ${kept})`;
  const said = [message.split('\n')[0]?.replace(/ The last lines of its console:$/, ''), hint].filter((part) => part !== undefined);
  return new KvciError(reason, code, said.join(' '), { facts: { ...facts, console }, cause: error });
}
