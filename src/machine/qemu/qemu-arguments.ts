import { KvciError } from '../../core/errors.ts';
import type { Architecture } from '../../payload/types.ts';

export const FIRMWARES = ['uefi', 'bios', 'direct'] as const;
export type Firmware = (typeof FIRMWARES)[number];

/** KVM, or QEMU's own emulation. */
export type Accelerator = 'kvm' | 'tcg';

/** How a machine finds its kernel. All paths are of the sandbox. */
export type QemuBoot =
  | { readonly firmware: 'direct'; readonly kernel: string; readonly initramfs: string; readonly arguments: string }
  /** `variables` is the machine's own copy. */
  | { readonly firmware: 'uefi'; readonly code: string; readonly variables: string }
  | { readonly firmware: 'bios' };

export interface QemuDisk {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  /** What is written goes to a temporary file and is lost: for a look at what a disk does. */
  readonly snapshot: boolean;
}

/** A machine as QEMU is told of it. */
export interface QemuMachine {
  readonly architecture: Architecture;
  readonly name: string;
  readonly accelerator: Accelerator;
  readonly cpuModel: string;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly boot: QemuBoot;
  readonly disk: QemuDisk;
  /** A machine without one is alone. */
  readonly network?: { readonly tap: string; readonly mac: string; readonly vhost: boolean };
  /** What systemd in the machine is handed: systemd.system-credentials(7). The contents are files, so that no process list shows them. */
  readonly credentials: readonly { readonly name: string; readonly path: string }[];
  /** It has a screen, seen by VNC at this unix socket. */
  readonly vnc?: string;
  /** It goes on from what was saved: a flat file with its memory, which is mapped and never written. Waits for its devices' state. */
  readonly saved?: { readonly memory: string };
  /** Words of whoever knows QEMU, added as they are. */
  readonly more?: readonly string[];
}

/** Files by which a running machine is spoken to, in a folder of the sandbox. */
export interface QemuSockets {
  /** Ways to the monitor: each takes one client at a time. One listens as long as the machine lives, one stands by while it is saved. */
  readonly monitors: readonly [events: string, commands: string, standby: string];
  readonly console: string;
  readonly consoleLog: string;
  readonly pid: string;
}

/** @param folder a path that is short: names of sockets have at most 107 bytes */
export function qemuSockets(folder: string, consoleLog: string): QemuSockets {
  return {
    monitors: [`${folder}/events.qmp`, `${folder}/commands.qmp`, `${folder}/standby.qmp`],
    console: `${folder}/console.sock`,
    consoleLog,
    pid: `${folder}/qemu.pid`,
  };
}

/** What differs between the machines that are emulated. */
interface Board {
  readonly program: string;
  readonly machine: string;
  /**
   * All that can be emulated, but for what costs speed: `max` of an arm64 machine checks pointers by a cipher, which takes half of it; a
   * kernel of an amd64 machine opens and shuts user memory (smap) around each copy, which ends a piece of translated code each time.
   */
  readonly emulated: string;
  /** What most hosts have, with virtualisation in the machine where the host has it: what runs here runs elsewhere. Undefined: there is no such model. */
  readonly common?: string;
  readonly firmwares: readonly Firmware[];
  /** Tells the kernel that it goes on as another one: it makes new random numbers at once (docs/specs/vmgenid.rst of QEMU). */
  readonly generation: boolean;
  /** Where the tools image has the firmware: code, and variables to copy. */
  readonly uefi: { readonly code: string; readonly variables: string };
}

const BOARDS: Readonly<Record<Architecture, Board>> = {
  amd64: {
    program: 'qemu-system-x86_64',
    machine: 'q35',
    emulated: 'max,-smap',
    // What the host lacks of it QEMU leaves out, with a warning.
    common: 'Haswell-noTSX,vmx=on,svm=on',
    firmwares: ['uefi', 'bios', 'direct'],
    generation: true,
    uefi: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
  },
  arm64: {
    program: 'qemu-system-aarch64',
    machine: 'virt,gic-version=max',
    emulated: 'max,pauth-impdef=on',
    firmwares: ['uefi', 'direct'],
    generation: false,
    uefi: { code: '/usr/share/AAVMF/AAVMF_CODE.fd', variables: '/usr/share/AAVMF/AAVMF_VARS.fd' },
  },
};

export function qemuProgram(architecture: Architecture): string {
  return BOARDS[architecture].program;
}

/** What QEMU calls the machine; the newest of its kind that a release has. */
export function boardOf(architecture: Architecture): string {
  return BOARDS[architecture].machine;
}

/** Whether a machine's kernel is told when it goes on from what was saved. */
export function knowsGeneration(architecture: Architecture): boolean {
  return BOARDS[architecture].generation;
}

export function uefiFiles(architecture: Architecture): Board['uefi'] {
  return BOARDS[architecture].uefi;
}

/** @throws KvciError `no-such-firmware` */
export function checkFirmware(firmware: Firmware, architecture: Architecture): void {
  const { firmwares } = BOARDS[architecture];
  if (firmwares.includes(firmware)) return;
  throw new KvciError(
    'usage',
    'no-such-firmware',
    `--firmware: ${architecture} machines have no ${firmware}, only ${firmwares.join(' and ')}`,
    {
      facts: { flag: '--firmware' },
    },
  );
}

/** All features of the host under KVM, all that QEMU can emulate without it. */
export function defaultCpuModel(architecture: Architecture, accelerator: Accelerator): string {
  return accelerator === 'kvm' ? 'host' : BOARDS[architecture].emulated;
}

/** A processor that machines on other hosts can have, too; under emulation all of them can have everything. */
export function commonCpuModel(architecture: Architecture, accelerator: Accelerator): string {
  const { common } = BOARDS[architecture];
  return accelerator === 'kvm' && common !== undefined ? common : defaultCpuModel(architecture, accelerator);
}

/** The part of the command line that a machine is, however it is spoken to. */
function machineArguments(machine: QemuMachine): string[] {
  const { architecture, name, accelerator, cpuModel, cpus, memory, boot, disk, network, credentials } = machine;
  checkFirmware(boot.firmware, architecture);
  const board = BOARDS[architecture];
  // Without a display SeaBIOS speaks to the console only when it is told so.
  const firmware = { uefi: ',pflash0=firmware,pflash1=variables', bios: ',graphics=off', direct: '' }[boot.firmware];
  return [
    board.program,
    '-no-user-config',
    '-nodefaults',
    ...option('-name', `guest=${escape(name)}`),
    ...option('-machine', `${board.machine},accel=${accelerator}${firmware}`),
    ...option('-cpu', cpuModel),
    ...option('-smp', `cpus=${cpus}`),
    ...option('-m', `size=${Math.floor(memory / 2 ** 20)}M`),
    ...option('-rtc', 'base=utc'),
    ...(machine.vnc === undefined
      ? option('-display', 'none')
      : [...option('-display', `vnc=unix:${escape(machine.vnc)}`), ...option('-device', 'VGA')]),
    ...bootArguments(boot),
    ...option('-blockdev', JSON.stringify(blockNode(disk))),
    ...option('-device', 'virtio-blk-pci,drive=disk,bootindex=1'),
    ...(network === undefined ? [] : networkArguments(network)),
    ...option('-device', 'virtio-rng-pci'),
    ...(board.generation ? option('-device', 'vmgenid,guid=auto') : []),
    ...credentials.flatMap(({ name: id, path }) => option('-fw_cfg', `name=opt/io.systemd.credentials/${escape(id)},file=${escape(path)}`)),
  ];
}

/** Starts a machine that lives until it is ended; the command ends when it runs, or says why it cannot. */
export function qemuArgv(machine: QemuMachine, sockets: QemuSockets): [string, ...string[]] {
  const [program = '', ...rest] = machineArguments(machine);
  const monitors = sockets.monitors.flatMap((path, index) => [
    ...option('-chardev', `socket,id=monitor${index},path=${escape(path)},server=on,wait=off`),
    ...option('-mon', `chardev=monitor${index},mode=control`),
  ]);
  const { console, consoleLog } = sockets;
  return [
    program,
    ...rest,
    ...monitors,
    // Whoever is attached or not: all that is said is kept.
    ...option('-chardev', `socket,id=console,path=${escape(console)},server=on,wait=off,logfile=${escape(consoleLog)},logappend=on`),
    ...option('-serial', 'chardev:console'),
    ...option('-pidfile', sockets.pid),
    ...savedArguments(machine),
    ...(machine.more ?? []),
    '-daemonize',
  ];
}

/** Starts a machine that shows its console on standard output and ends at its first reboot: for a look at whether it starts at all. */
export function qemuTrialArgv(machine: QemuMachine): [string, ...string[]] {
  const [program = '', ...rest] = machineArguments({ ...machine, disk: { ...machine.disk, snapshot: true } });
  return [program, ...rest, ...option('-serial', 'stdio'), ...option('-monitor', 'none'), '-no-reboot'];
}

function bootArguments(boot: QemuBoot): string[] {
  switch (boot.firmware) {
    case 'direct':
      return [...option('-kernel', boot.kernel), ...option('-initrd', boot.initramfs), ...option('-append', boot.arguments)];
    case 'uefi':
      return [
        ...option('-blockdev', JSON.stringify(flashNode('firmware', boot.code, true))),
        ...option('-blockdev', JSON.stringify(flashNode('variables', boot.variables, false))),
        ...option('-boot', 'strict=on'),
      ];
    case 'bios':
      return option('-boot', 'strict=on');
  }
}

/**
 * A machine that goes on. Its memory is mapped privately: pages come as they are touched, and what it writes is its own; its devices'
 * state comes as a stream, when it is told so. That stream is of `xen-save-devices-state`, the one command by which QEMU writes it
 * without the memory, whatever that is made of: it has no head that tells of the machine.
 */
function savedArguments({ saved, memory }: QemuMachine): string[] {
  if (saved === undefined) return [];
  const size = Math.floor(memory / 2 ** 20);
  return [
    ...option('-object', `memory-backend-file,id=saved,size=${size}M,mem-path=${escape(saved.memory)},share=off,readonly=on,rom=off`),
    ...option('-machine', 'memory-backend=saved,suppress-vmdesc=on'),
    ...option('-global', 'migration.send-configuration=off'),
    '-S',
    ...option('-incoming', 'defer'),
  ];
}

function flashNode(name: string, filename: string, readOnly: boolean): object {
  return { driver: 'raw', 'node-name': name, 'read-only': readOnly, file: { driver: 'file', filename, 'read-only': readOnly } };
}

/**
 * Without flushes: what a machine has written is in the host's memory when it says that it is on disk. A crash of the host costs
 * the disk, which is a copy; on an emulated machine flushes cost seconds of every boot.
 */
function blockNode({ path, format, snapshot }: QemuDisk): object {
  const node = {
    driver: format,
    discard: 'unmap',
    cache: { 'no-flush': true },
    file: { driver: 'file', filename: path, discard: 'unmap', ...(snapshot ? { locking: 'off', 'read-only': true } : {}) },
  };
  return snapshot ? { ...node, 'node-name': 'disk', 'read-only': true } : { ...node, 'node-name': 'disk' };
}

/** Without a boot program: nobody boots from this network. */
function networkArguments({ tap, mac, vhost }: NonNullable<QemuMachine['network']>): string[] {
  return [
    ...option('-netdev', `tap,id=lan,ifname=${tap},script=no,downscript=no${vhost ? ',vhost=on' : ''}`),
    ...option('-device', `virtio-net-pci,netdev=lan,mac=${mac},romfile=`),
  ];
}

function option(name: string, value: string): string[] {
  return [name, value];
}

/** In a list of options a comma stands for itself when it is doubled. */
function escape(value: string): string {
  return value.replaceAll(',', ',,');
}
