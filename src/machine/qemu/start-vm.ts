import { allOf } from '../../core/all-of.ts';
import { KvciError } from '../../core/errors.ts';
import { formatSize } from '../../core/sizes.ts';
import { asDiskFull } from '../../host/files.ts';
import type { SshKeyPair } from '../../host/ssh.ts';
import type { CommandRunner } from '../../host/types.ts';
import { joinLan } from '../net/lan-services.ts';
import { macOf, tapName } from '../net/lan.ts';
import { putFile } from '../../sandbox/put-file.ts';
import type { NodeAddresses } from '../types.ts';
import type { Acceleration } from '../vm-options.ts';
import { accelerate, deviceInside, rememberFailure } from './accelerate.ts';
import { machineCredentials } from './credentials.ts';
import { type DiskSource, inspectDisk } from './disk-source.ts';
import { withFallBack } from './fall-back.ts';
import { emulationNote, noDeviceNote } from './kvm.ts';
import {
  type Accelerator,
  checkFirmware,
  commonCpuModel,
  defaultCpuModel,
  type Firmware,
  qemuArgv,
  type QemuBoot,
  type QemuMachine,
  uefiFiles,
} from './qemu-arguments.ts';
import { qemuFailure } from './qemu-failure.ts';
import { diskCount, makeChild } from './saved-disks.ts';
import { type Vm, watchVm } from './vm.ts';
import type { SavedVm } from './vm-record.ts';
import { diskName, savedFiles, socketsOf, vmFolder, vncInside } from './vm-files.ts';
import { MACHINES_INSIDE } from './launch-vm-sandbox.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';

/** A machine as it is wanted. */
export interface VmSpec {
  readonly name: string;
  readonly addresses: NodeAddresses;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly disk: DiskSource;
  /** Bytes of the machine's own disk; undefined: as large as the one it is made of. */
  readonly diskSize?: number;
  readonly firmware: Firmware;
  readonly acceleration: Acceleration;
  /** Where KVM fails it while it runs it goes on emulated; without a word: with `auto`. */
  readonly orEmulated?: boolean | undefined;
  /** As QEMU names it; undefined: as `commonCpu` says. */
  readonly cpuModel?: string | undefined;
  /** A processor that machines on other hosts can have, too, instead of all that the accelerator has. */
  readonly commonCpu?: boolean | undefined;
  /** Added to the kernel's arguments; only with `direct` firmware. */
  readonly kernelArguments: readonly string[];
  /** It has a screen, seen by VNC. */
  readonly vnc?: boolean | undefined;
  /** Words added to QEMU's command line. */
  readonly qemuArgs?: readonly string[] | undefined;
  /** Given: the machine gets a key of ours and proves itself by it. Own: it makes its own. */
  readonly hostKey: 'given' | 'own';
  /** It goes on from what was saved: its memory, its devices and its frozen disks are in its folder. */
  readonly saved?: SavedVm | undefined;
}

/** What QEMU itself takes beside the machine's memory, by measurement. */
const QEMU_MEMORY = 150e6;

/** An emulated kernel that is starved while it looks for its timer finds none, and panics: it is told not to look. */
const PATIENCE = { amd64: ['no_timer_check'], arm64: [] } as const;

/**
 * An emulated processor guesses nothing that could be spied on, and each detour of the kernel against that is more to translate; a fifth
 * level of pages is more to walk.
 */
const LESS_TO_TRANSLATE = { amd64: ['mitigations=off', 'no5lvl'], arm64: [] } as const;

/** How much of a saved machine's memory becomes its own soon: what is only read it shares with all others of the same state. */
const OWN_SHARE = 0.2;

/** Copies a file that is not there yet, whole or not at all. */
const COPY_ONCE = '[ -e "$2" ] || { cp -- "$1" "$2.new" && chmod 0600 "$2.new" && mv -- "$2.new" "$2"; }';

/**
 * Starts a machine from a copy-on-write child of its disk; one whose child is there already goes on from it. One that KVM refuses, or
 * fails while it runs, is started again without it, where that may be.
 *
 * @throws KvciError `not-enough-memory`, `disk-architecture`, `bad-disk`, `no-such-firmware`, `bad-flag`, `kvm-unusable`, `disk-full`, and
 *   what QEMU refuses
 */
export async function startVm(parts: VmSandboxParts, sandbox: VmSandbox, spec: VmSpec, signal: AbortSignal): Promise<Vm> {
  const { name, acceleration, orEmulated = acceleration === 'auto' } = spec;
  // What was saved under KVM goes on under KVM only.
  const mayBeEmulated = orEmulated && spec.saved === undefined;
  const emulated = (why: string): Promise<Vm> => {
    parts.events({ type: 'problem', level: 'note', message: `${name} is started again: ${why}` });
    return startOnce(parts, sandbox, { ...spec, acceleration: 'emulation' }, signal);
  };
  let vm: Vm;
  try {
    vm = await startOnce(parts, sandbox, spec, signal);
  } catch (error) {
    if (!mayBeEmulated || !(error instanceof KvciError) || error.code !== 'kvm-unusable') throw error;
    const device = await deviceInside(sandbox.runner, '/dev/kvm');
    // That is seen by everybody, also when it is there again.
    if (device !== 'usable') return emulated(noDeviceNote(device));
    const reason = `QEMU cannot start ${name} with it`;
    await rememberFailure(parts, sandbox.runner, reason);
    return emulated(emulationNote(reason));
  }
  if (vm.record.accelerator !== 'kvm' || !mayBeEmulated) return vm;
  return withFallBack(vm, async () => {
    // What it said is kept apart, so that nobody takes it for what the next one says.
    const console = socketsOf(name).consoleLog;
    await sandbox.runner.run(['mv', '-f', '--', console, `${console}.kvm`], { signal });
    return emulated(emulationNote('QEMU has ended it with an internal error'));
  });
}

async function startOnce(parts: VmSandboxParts, sandbox: VmSandbox, spec: VmSpec, signal: AbortSignal): Promise<Vm> {
  try {
    return await startOnDisk(parts, sandbox, spec, signal);
  } catch (error) {
    throw asDiskFull(error, sandbox.record.folder);
  }
}

async function startOnDisk(parts: VmSandboxParts, sandbox: VmSandbox, spec: VmSpec, signal: AbortSignal): Promise<Vm> {
  const { runner } = sandbox;
  const { name, addresses, firmware, cpus, memory } = spec;
  checkFirmware(firmware, parts.architecture);
  refuseKernelArguments(spec);
  const folder = vmFolder(name);
  const making = ['mkdir', '-p', '-m', '0700', folder, `${folder}/credentials`, `${MACHINES_INSIDE}/${name}`] as const;
  await allOf([requireTun(runner), checkMemory(spec, parts), runner.run(making, { signal })]);
  const before = sandbox.record.machines[name];
  const hostKey = before === undefined ? newHostKey(parts, spec) : before.hostKey;
  const disk = await ownDisk(parts, sandbox, spec, signal);
  const boot = await bootOf(parts, sandbox, spec, signal);
  const trial = (): Promise<QemuMachine> => Promise.resolve(trialOf(parts, spec, boot, disk));
  const accelerator = await accelerate(parts, runner, spec.acceleration, trial, signal);
  const saved = spec.saved ?? before?.saved;
  const record = {
    ...{ addresses, hostKey, accelerator, cpuModel: cpuModelOf(parts, spec, accelerator), firmware, cpus, memory },
    ...(saved === undefined ? {} : { saved }),
  };
  await sandbox.keepMachine(name, record);
  const [vhost, credentials] = await allOf([
    deviceInside(runner, '/dev/vhost-net'),
    writeCredentials(sandbox, name, hostKey, signal),
    joinLan(runner, name, addresses, sandbox.record.lan, signal),
  ]);
  const machine: QemuMachine = {
    ...machineOf(parts, spec, boot, accelerator),
    disk: { path: disk, format: 'qcow2', snapshot: false },
    ...(spec.vnc === true ? { vnc: vncInside(name) } : {}),
    ...(spec.saved === undefined ? {} : { saved: savedFiles(name, spec.saved.folder) }),
    ...(spec.qemuArgs === undefined ? {} : { more: spec.qemuArgs }),
    network: { tap: tapName(addresses), mac: macOf(addresses), vhost: vhost === 'usable' },
    credentials,
  };
  try {
    await runner.run(qemuArgv(machine, socketsOf(name)), { signal });
  } catch (error) {
    throw qemuFailure(error, name);
  }
  return watchVm(parts, sandbox, name, record);
}

function newHostKey({ ssh }: VmSandboxParts, { name, hostKey }: VmSpec): SshKeyPair | undefined {
  return hostKey === 'given' ? ssh.newKeyPair(name) : undefined;
}

/** A boot loader would start without them. @throws KvciError `bad-flag` */
function refuseKernelArguments({ kernelArguments, firmware, disk }: VmSpec): void {
  if (kernelArguments.length === 0 || firmware === 'direct') return;
  throw new KvciError('usage', 'bad-flag', `--karg: the boot loader of ${disk.path} starts its kernel, with arguments of its own`, {
    hint: 'Only disks of the native converter have their kernel beside them. Name it in kvci.yaml, or give the disk these: "disk: { kargs: [...] }".',
    facts: { flag: '--karg' },
  });
}

/** Before anything starts: a machine that does not fit would drag the host down. */
async function checkMemory(spec: VmSpec, { memoryAvailable }: VmSandboxParts): Promise<void> {
  const { name } = spec;
  const memory = spec.saved === undefined ? spec.memory : spec.memory * OWN_SHARE;
  const available = await memoryAvailable();
  if (memory + QEMU_MEMORY <= available) return;
  throw new KvciError(
    'hostNotReady',
    'not-enough-memory',
    `${name} is to have ${formatSize(memory)} of memory; this host has ${formatSize(available)} available`,
    { hint: 'Free memory, or make the machine with less (--memory).', facts: { needed: memory + QEMU_MEMORY, available } },
  );
}

/** How many machines with so many bytes of memory there is room for. */
export async function roomFor(memory: number, { memoryAvailable }: Pick<VmSandboxParts, 'memoryAvailable'>): Promise<number> {
  return Math.floor((await memoryAvailable()) / (memory + QEMU_MEMORY));
}

async function requireTun(runner: CommandRunner): Promise<void> {
  const state = await deviceInside(runner, '/dev/net/tun');
  if (state === 'usable') return;
  throw new KvciError('hostNotReady', 'no-tun', `/dev/net/tun ${state === 'absent' ? 'does not exist' : 'is closed to this user'}`, {
    hint: 'Virtual machines need it. "kvci doctor" tells the command that mends it.',
  });
}

/** The machine's own disk, in the sandbox's eyes. */
async function ownDisk({ architecture }: VmSandboxParts, sandbox: VmSandbox, spec: VmSpec, signal: AbortSignal): Promise<string> {
  const folder = `${MACHINES_INSIDE}/${spec.name}`;
  const child = `${folder}/${diskName(0)}`;
  const count = await diskCount(sandbox.runner, spec.name);
  const frozen = (spec.saved ?? sandbox.record.machines[spec.name]?.saved)?.disks ?? 0;
  if (count > frozen) return `${folder}/${diskName(count - 1)}`;
  // What is frozen is that of snapshots and of other machines, too: whoever was killed here may have left nothing above it.
  if (count > 0) return makeChild(sandbox, spec.name, count, signal);
  const base = sandbox.inside(spec.disk.path);
  const { format, size } = await inspectDisk(spec.disk, base, sandbox.runner, architecture);
  if (spec.diskSize !== undefined && spec.diskSize < size) {
    throw new KvciError('usage', 'disk-too-small', `--disk-size: the disk is larger already: ${formatSize(size)}`, {
      facts: { flag: '--disk-size', least: size },
    });
  }
  const sizes = spec.diskSize === undefined ? [] : [String(spec.diskSize)];
  await sandbox.runner.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', format, `${child}.new`, ...sizes], { signal });
  await sandbox.runner.run(['mv', '--', `${child}.new`, child], { signal });
  return child;
}

async function bootOf(
  { architecture }: VmSandboxParts,
  sandbox: VmSandbox,
  { name, disk, firmware, kernelArguments }: VmSpec,
  signal: AbortSignal,
): Promise<QemuBoot> {
  if (firmware === 'bios') return { firmware };
  if (firmware === 'uefi') {
    const { code, variables } = uefiFiles(architecture);
    const own = `${MACHINES_INSIDE}/${name}/uefi-variables.fd`;
    const { exitCode } = await sandbox.runner.run(['test', '-r', code, '-a', '-r', variables], { accept: [1] });
    if (exitCode !== 0) {
      throw new KvciError('hostNotReady', 'no-firmware', `the tools image has no UEFI firmware (${code})`, {
        hint: 'Name a tools image of this version of kvci, or none: kvci makes its own. Or use another --firmware.',
      });
    }
    await sandbox.runner.run(['sh', '-c', COPY_ONCE, 'sh', variables, own], { signal });
    return { firmware, code, variables: own };
  }
  const { directBoot } = disk;
  if (directBoot === undefined) {
    throw new KvciError('usage', 'no-kernel', `--firmware: nothing tells the kernel of ${disk.path}`, {
      hint: 'Only disks that kvci made have their kernel beside them; boot this one by its boot loader: --firmware uefi.',
      facts: { flag: '--firmware' },
    });
  }
  return {
    firmware,
    kernel: sandbox.inside(directBoot.kernel),
    initramfs: sandbox.inside(directBoot.initramfs),
    // The name is also in the credentials, which older systemd does not know.
    arguments: [directBoot.arguments, ...PATIENCE[architecture], `systemd.hostname=${name}`, ...kernelArguments].join(' '),
  };
}

/** What a machine's processor is, as QEMU names it. */
export function cpuModelOf(
  { architecture }: Pick<VmSandboxParts, 'architecture'>,
  { cpuModel, commonCpu = false }: Pick<VmSpec, 'cpuModel' | 'commonCpu'>,
  accelerator: Accelerator,
): string {
  return cpuModel ?? (commonCpu ? commonCpuModel : defaultCpuModel)(architecture, accelerator);
}

function machineOf(
  parts: VmSandboxParts,
  spec: VmSpec,
  boot: QemuBoot,
  accelerator: Accelerator,
): Omit<QemuMachine, 'disk' | 'network' | 'credentials'> {
  const { architecture } = parts;
  const { name, cpus, memory } = spec;
  const least = accelerator === 'tcg' ? LESS_TO_TRANSLATE[architecture] : [];
  // Before all others: of two that contradict each other the last one counts.
  const booted = boot.firmware === 'direct' ? { ...boot, arguments: [...least, boot.arguments].join(' ') } : boot;
  return { architecture, name, accelerator, cpuModel: cpuModelOf(parts, spec, accelerator), cpus, memory, boot: booted };
}

/** A machine that is only looked at under KVM. */
function trialOf(parts: VmSandboxParts, spec: VmSpec, boot: QemuBoot, disk: string): QemuMachine {
  return { ...machineOf(parts, spec, boot, 'kvm'), disk: { path: disk, format: 'qcow2', snapshot: true }, credentials: [] };
}

/**
 * What a machine of this kind would run on, asked before there is one: how several are brought up depends on it.
 *
 * @throws KvciError `bad-disk`, `disk-architecture`, `no-firmware`
 */
export async function acceleratorFor(parts: VmSandboxParts, sandbox: VmSandbox, spec: VmSpec, signal: AbortSignal): Promise<Accelerator> {
  const trial = async (): Promise<QemuMachine> => {
    await sandbox.runner.run(['mkdir', '-p', `${MACHINES_INSIDE}/${spec.name}`], { signal });
    return trialOf(parts, spec, await bootOf(parts, sandbox, spec, signal), await ownDisk(parts, sandbox, spec, signal));
  };
  try {
    return await accelerate(parts, sandbox.runner, spec.acceleration, trial, signal);
  } finally {
    await sandbox.runner.run(['rm', '-rf', `${MACHINES_INSIDE}/${spec.name}`]);
  }
}

async function writeCredentials(
  { runner, record }: VmSandbox,
  name: string,
  hostKey: SshKeyPair | undefined,
  signal: AbortSignal,
): Promise<QemuMachine['credentials']> {
  const credentials = [...machineCredentials({ hostname: name, hostKey, authorizedKeys: [record.key.publicKey] })].map(([id, content]) => ({
    name: id,
    path: `${vmFolder(name)}/credentials/${id}`,
    content,
  }));
  await Promise.all(credentials.map(({ path, content }) => putFile(runner, path, content, signal)));
  return credentials.map(({ name: id, path }) => ({ name: id, path }));
}
