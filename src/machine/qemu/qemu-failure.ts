import { KvciError } from '../../core/errors.ts';
import { CommandError } from '../../host/command-error.ts';

interface Failure {
  readonly pattern: RegExp;
  readonly reason: 'failed' | 'hostNotReady' | 'notFoundOrExists';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** What QEMU says when it cannot start a machine, and what to do. */
const FAILURES: readonly Failure[] = [
  {
    pattern: /Could not access KVM kernel module|failed to initialize kvm|kvm[^\n]*Assertion|ioctl\(KVM_CREATE_VM\) failed/i,
    reason: 'hostNotReady',
    code: 'kvm-unusable',
    message: 'KVM cannot be used here',
    hint: 'Use --acceleration emulation, or give this user access to /dev/kvm ("kvci doctor").',
  },
  {
    pattern: /cannot set up guest memory|Cannot allocate memory/i,
    reason: 'hostNotReady',
    code: 'not-enough-memory',
    message: 'this host has not the memory that the machine is to have',
    hint: 'Free memory, or make the machine with less (--memory).',
  },
  {
    pattern: /could not (configure|open) \/dev\/net\/tun|TUNSETIFF/i,
    reason: 'hostNotReady',
    code: 'no-tun',
    message: 'the machine gets no network device: /dev/net/tun cannot be used',
    hint: 'Run "kvci doctor": it tells the command that mends it.',
  },
  {
    pattern: /OVMF|AAVMF|pflash|uefi-variables/,
    reason: 'hostNotReady',
    code: 'no-firmware',
    message: 'the UEFI firmware is missing from the tools image',
    hint: 'Make the tools image anew: "kvci cache prune", then the same command; or use another --firmware.',
  },
  {
    pattern: /Failed to get "write" lock|Failed to get shared "write" lock/,
    reason: 'notFoundOrExists',
    code: 'disk-in-use',
    message: 'another machine writes to the disk',
    hint: 'End the machine that runs from it, or give this one a copy.',
  },
  {
    pattern: /Image is not in qcow2 format|Unknown driver|invalid (magic|header)|qcow2: Image is corrupt|Could not open backing file/i,
    reason: 'failed',
    code: 'bad-disk',
    message: 'the disk is damaged, or no disk at all',
    hint: 'Look at it with "qemu-img check", or make it anew.',
  },
  {
    pattern: /could not load kernel|could not load initrd|error reading initrd|invalid kernel header|kernel too old/i,
    reason: 'failed',
    code: 'bad-kernel',
    message: 'QEMU cannot load the kernel that lies beside the disk',
    hint: 'It may be of another architecture; make the disk anew, or use --firmware uefi.',
  },
];

/** A start that QEMU refused, in words for people; every other error as it is. */
export function qemuFailure(error: unknown, machine: string): unknown {
  if (!(error instanceof CommandError)) return error;
  const said = error.result.stderr;
  const found = FAILURES.find(({ pattern }) => pattern.test(said));
  if (found === undefined) {
    return new KvciError('failed', 'machine-not-started', `QEMU cannot start ${machine}: ${said.trim()}`, {
      facts: { machine },
      cause: error,
    });
  }
  const { reason, code, message, hint } = found;
  return new KvciError(reason, code, `${machine}: ${message}`, { hint, facts: { machine, said: said.trim() }, cause: error });
}
