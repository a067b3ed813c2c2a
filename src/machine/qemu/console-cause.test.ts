import { describe, expect, it } from 'vitest';

import { consoleCause, plain } from './console-cause.ts';

const KERNEL = '[    0.000000] Linux version 6.12.57+deb13-cloud-amd64 (debian-kernel@lists.debian.org)\r\n';
const BOOTED = `${KERNEL}[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n\r\nDebian GNU/Linux 13 node01 ttyS0\r\n\r\nnode01 login: `;

/** As consoles show it: seen with QEMU 10, OVMF 2025.02, SeaBIOS 1.16, dracut 106 and systemd 257. */
const CONSOLES: readonly [what: string, console: string, id: string, final: boolean][] = [
  ['nothing at all', '', 'silent', false],
  [
    'UEFI without a boot loader',
    'BdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0)\r\nBdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0): Not Found\r\nUEFI Interactive Shell v2.2\r\n\x1b[1;33mShell> \x1b[0m',
    'no-bootable-device',
    true,
  ],
  ['UEFI without a shell', 'BdsDxe: No bootable option or device was found.\r\n', 'no-bootable-device', true],
  [
    'a BIOS without a boot loader',
    'SeaBIOS (version 1.16.3-debian-1.16.3-2)\r\nBooting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\r\nNo bootable device.\r\n',
    'no-bootable-device',
    true,
  ],
  [
    'a BIOS in a boot sector of zeros',
    'SeaBIOS (version 1.16.3-debian-1.16.3-2)\r\nBooting from Hard Disk...\r\n',
    'no-bootable-device',
    false,
  ],
  ['a boot loader without its kernel', "error: file `/vmlinuz' not found.\r\n\r\ngrub rescue> ", 'no-boot-program', true],
  [
    'an initramfs that has just begun to wait for the root',
    `${KERNEL}\x1bM\r\x1b[K[\x1b[0;31m*\x1b[0m] Job dev-disk-by\\x2dlabel-nothing.de\u2026tart running (13s / no limit)\r\r\n`,
    'no-root',
    false,
  ],
  [
    'an initramfs that waits for the root without end',
    `${KERNEL}\x1bM\r\x1b[K[\x1b[0;31m*\x1b[0m] Job dev-disk-by\\x2dlabel-nothing.de\u2026tart running (4min 7s / no limit)\r\r\n`,
    'no-root',
    true,
  ],
  [
    'an initramfs that gave up',
    `${KERNEL}Warning: /dev/disk/by-label/nothing does not exist\r\nGenerating "/run/initramfs/rdsosreport.txt"\r\nEntering emergency mode. Exit the shell to continue.\r\n`,
    'no-root',
    true,
  ],
  [
    'a kernel without an initramfs',
    `${KERNEL}VFS: Cannot open root device "LABEL=root"\r\nKernel panic - not syncing: VFS: Unable to mount root fs\r\n`,
    'no-root',
    true,
  ],
  [
    'a kernel that panics',
    `${KERNEL}[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n`,
    'kernel-panic',
    true,
  ],
  [
    'a systemd that was starved',
    `${KERNEL}[  280.007835] systemd[1]: Failed to fork off sandboxing environment for executing generators: Protocol error\r\n`,
    'init-failed',
    true,
  ],
  ['a mount that fails', `${KERNEL}You are in emergency mode. After logging in, type "journalctl -xb"\r\n`, 'emergency', true],
  ['a boot that goes on', `${KERNEL}[    3.0] systemd[1]: Queued start job for default target multi-user.target.\r\n`, 'silent', false],
  [
    'a server that does not start',
    `${KERNEL}[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mssh.service\x1b[0m - OpenBSD Secure Shell server.\r\n`,
    'no-host-key',
    false,
  ],
  [
    'a unit that fails in a boot that goes on',
    `${KERNEL}[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39msystemd-modules-load.service\x1b[0m - Load Kernel Modules.\r\n`,
    'silent',
    false,
  ],
  ['the same of a kernel that is quiet', '[FAILED] Failed to start Load Kernel Modules.\r\n', 'silent', false],
  [
    'a unit that is named by SELinux',
    `${KERNEL}[FAILED] Failed to start selinux-autorelabel-mark.service - Mark the need to relabel for SELinux.\r\n`,
    'silent',
    false,
  ],
  [
    'a program that misses a file of the kernel',
    `${KERNEL}[    4.2] systemd-sysctl[99]: x\r\nFailed to open /sys/kernel/x\r\n`,
    'silent',
    false,
  ],
  [
    'a boot loader that misses its kernel after a reboot',
    `${BOOTED}\r\n[   60.1] reboot: Restarting system\r\nFailed to load kernel image: Not Found\r\n`,
    'no-boot-program',
    true,
  ],
  [
    'a disk that lost its boot loader before a reboot',
    `${BOOTED}\r\n[   60.1] reboot: Restarting system\r\nBdsDxe: No bootable option or device was found.\r\n`,
    'no-bootable-device',
    true,
  ],
  ['a boot loader that found its kernel at last', `Failed to load initrd\r\n${KERNEL}`, 'silent', false],
  ['a boot that is done', BOOTED, 'no-address', false],
  ['a restart after a panic', `${KERNEL}Kernel panic - not syncing: x\r\n${BOOTED}`, 'no-address', false],
];

describe('why a machine does not come up', () => {
  it.each(CONSOLES)('%s', (_what, console, id, final) => {
    const cause = consoleCause(console);
    expect(cause).toMatchObject({ id, final });
    expect(cause.message).toMatch(/\w/);
    expect(cause.hint).toMatch(/\w/);
  });

  it('has no address: whether it asked for one tells which of two', () => {
    expect(consoleCause(BOOTED, false).id).toBe('no-dhcp');
    expect(consoleCause(BOOTED, true).id).toBe('no-address');
    expect(consoleCause(KERNEL, false).id).toBe('silent');
  });
});

it('a console is read without what its terminal is told', () => {
  expect(plain('\x1b[2J\x1b[01;01H\x1b[=3h\x1bMab\x1b[0;32mc\x1b[0m\r\nd')).toBe('abc\nd');
});
