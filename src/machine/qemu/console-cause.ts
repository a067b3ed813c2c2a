/** Why a machine does not come up, as its console tells it. */
export interface ConsoleCause {
  readonly id:
    | 'no-bootable-device'
    | 'no-boot-program'
    | 'kernel-panic'
    | 'no-root'
    | 'emergency'
    | 'init-failed'
    | 'no-dhcp'
    | 'no-address'
    | 'no-host-key'
    | 'silent';
  readonly message: string;
  readonly hint: string;
  /** The machine does not get any further by itself: nobody has to wait for it. */
  readonly final: boolean;
}

const NO_BOOT_LOADER = {
  id: 'no-bootable-device',
  message: 'the firmware finds no boot loader on the disk',
  hint: 'The disk is empty, made for another firmware (see --firmware) or for another architecture.',
} as const;

const NO_ROOT = {
  id: 'no-root',
  message: 'the initramfs cannot find the root file system',
  hint: 'The kernel argument root= (or ostree=) names what is not on the disk, or the initramfs lacks the driver of the disk (virtio_blk).',
} as const;

interface Symptom extends ConsoleCause {
  readonly pattern: RegExp;
}

/** In the order in which a boot goes: a panic is told by what led to it. */
const SYMPTOMS: readonly Symptom[] = [
  {
    ...NO_BOOT_LOADER,
    pattern:
      /No bootable device|BdsDxe: No bootable option|Boot failed: not a bootable disk|BdsDxe: failed to load Boot\S+ .*Not Found[^]*Shell>/,
    final: true,
  },
  {
    id: 'no-boot-program',
    pattern:
      /error: (file|no such (device|partition)|unknown filesystem|invalid (arch-dependent )?ELF)[^\n]*[^]*grub( rescue)?>|Failed to (load|open) [^\n]*(kernel|linux|initrd|entries)/i,
    message: 'the boot loader cannot load the kernel',
    hint: 'The boot loader entry names files that are not on the disk.',
    final: true,
  },
  {
    ...NO_ROOT,
    pattern:
      /Warning: \/dev\/disk\/\S+ does not exist|Could not boot\.|ALERT!\s+\S+ does not exist|Timed out waiting for device (\/dev\/|dev-disk)[^\n]*|VFS: (Cannot open root device|Unable to mount root fs)|ostree-prepare-root: [^\n]*(error|fail|not found|No such)|couldn't find specified OSTree root/i,
    final: true,
  },
  // Without a limit, and yet: a disk that is not there after two minutes does not come.
  { ...NO_ROOT, pattern: /Job dev-[^\n]* running \(([2-9]|\d\d+)min /, final: true },
  {
    id: 'kernel-panic',
    pattern: /Kernel panic - not syncing/,
    message: 'the kernel panicked',
    hint: 'The lines before the panic say why.',
    final: true,
  },
  {
    id: 'init-failed',
    pattern: /systemd\[1\]: (Freezing execution|Failed to fork off sandboxing environment)/,
    message: 'systemd gave up',
    hint: 'The line before says why; on a host that is far too busy even its own helpers time out.',
    final: true,
  },
  {
    id: 'emergency',
    pattern:
      /You are in emergency mode|Entering emergency mode|Give root password for maintenance|Cannot open access to console, the root account is locked/,
    message: 'systemd went into emergency mode: a mount or a unit that the boot needs has failed',
    hint: 'Look for "Failed to mount" and "Dependency failed" in the console log.',
    final: true,
  },
];

/** How far a boot without one of those has come. */
const PROGRESS: readonly { readonly seen: RegExp; readonly cause: ConsoleCause }[] = [
  // A boot sector that does nothing, and says nothing.
  { seen: /Booting from Hard Disk\.\.\.\s*$/, cause: { ...NO_BOOT_LOADER, final: false } },
  { seen: /Job dev-[^\n]* running \([^\n]*\s*$/, cause: { ...NO_ROOT, final: false } },
  {
    seen: /(Failed to start|Failed with result)[^\n]*(ssh|sshd)|sshd: no hostkeys available|Failed to start [^\n]*OpenSSH/i,
    cause: {
      id: 'no-host-key',
      message: 'the SSH server did not start',
      hint: 'The image has to have ssh enabled; host keys are made at the first boot.',
      final: false,
    },
  },
  {
    seen: /Reached target [^\n]*(Multi-User|multi-user\.target)|login:\s*$/im,
    cause: {
      id: 'no-address',
      message: 'the machine has booted, but cannot be reached',
      hint: 'It got no address, has no SSH server, or a firewall is in the way.',
      final: false,
    },
  },
  {
    seen: /Linux version/,
    cause: {
      id: 'silent',
      message: 'the boot is not done yet',
      hint: 'A busy host makes it slow: give it more time with --timeout.',
      final: false,
    },
  },
];

const SILENT: ConsoleCause = {
  id: 'silent',
  message: 'the machine has written nothing to its console',
  hint: 'The kernel argument console=ttyS0 is missing (ttyAMA0 on arm64), or the firmware does not get as far as the kernel.',
  final: false,
};

/**
 * The usual reason for what a console shows of a boot that did not end in SSH.
 *
 * @param console all that it showed
 * @param leased whether the machine got an address by DHCP, where that is known
 */
export function consoleCause(console: string, leased?: boolean): ConsoleCause {
  const text = plain(console);
  // The last boot counts: a machine that was restarted has several in its log.
  const last = text.slice(Math.max(0, text.lastIndexOf('Linux version')));
  const before = beforeKernel(text);
  const found = SYMPTOMS.find(({ pattern, id }) => pattern.test(id === 'no-bootable-device' || id === 'no-boot-program' ? before : last));
  if (found !== undefined) {
    const { id, message, hint, final } = found;
    return { id, message, hint, final };
  }
  const reached = PROGRESS.find(({ seen }) => seen.test(last))?.cause;
  if (leased === false && reached !== undefined && reached.id !== 'silent') {
    return {
      id: 'no-dhcp',
      message: 'the machine has booted, but no DHCP server answered it',
      hint: 'Its network profile does not ask by DHCP, or not on this device.',
      final: false,
    };
  }
  return reached ?? SILENT;
}

/** What firmware and boot loader of the last boot have said; nothing where its kernel runs, whose units and programs may say the same. */
function beforeKernel(text: string): string {
  const kernel = [...text.matchAll(/^(\[ *\d+\.\d+\]|Linux version)[^\n]*/gm)].at(-1);
  if (kernel === undefined) return text;
  return /reboot: |Rebooting in/.test(kernel[0]) ? text.slice(kernel.index + kernel[0].length) : '';
}

/** Without what terminals are told: colours, positions of the cursor. */
export function plain(console: string): string {
  return console.replace(/\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>cM78])/g, '').replaceAll('\r', '');
}
