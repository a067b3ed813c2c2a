import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

import { hasErrno, KvciError } from '../../core/errors.ts';
import { CommandError } from '../../host/command-error.ts';
import { writeFileAtomic } from '../../host/files.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { Accelerator } from './qemu-arguments.ts';
import { qemuFailure } from './qemu-failure.ts';

/** How long a kernel may take from QEMU's start to its first line under KVM, firmware and boot loader included: it takes one second. */
const FIRST_LINE_MS = 15_000;

/** What a machine has that is only tried: enough for a kernel's first line, and no more than most hosts can spare. */
export const TRIAL_SIZE = { cpus: 1, memory: 2 ** 30 } as const;

/** Whether KVM is good for anything: a kernel has printed its first line under it, or has not. */
export interface KvmVerdict {
  readonly version: 1;
  /** Boot of the host and release of QEMU that it holds for. */
  readonly boot: string;
  readonly qemu: string;
  readonly usable: boolean;
  /** For people. */
  readonly reason: string;
}

const verdictSchema: z.ZodType<KvmVerdict> = z.object({
  version: z.literal(1),
  boot: z.string(),
  qemu: z.string(),
  usable: z.boolean(),
  reason: z.string(),
});

/** The verdict that is remembered, if it holds for this boot of the host and this QEMU; whichever QEMU where none is named. */
export async function readVerdict(state: string, qemu?: string): Promise<KvmVerdict | undefined> {
  const found = verdictSchema.safeParse(await readJson(join(state, 'kvm.json')));
  if (!found.success || found.data.boot !== (await bootId())) return undefined;
  return qemu === undefined || found.data.qemu === qemu ? found.data : undefined;
}

export async function writeVerdict(state: string, verdict: Omit<KvmVerdict, 'version' | 'boot'>): Promise<void> {
  const whole: KvmVerdict = { version: 1, boot: await bootId(), ...verdict };
  await writeFileAtomic(join(state, 'kvm.json'), `${JSON.stringify(whole)}\n`);
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    // What cannot be read is found out anew.
    if (hasErrno(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** What a line of a machine under trial says: the kernel runs, or never will. */
export function trialSays(line: string): { readonly usable: boolean; readonly reason: string } | undefined {
  if (/Linux version \d/.test(line)) return { usable: true, reason: 'a kernel has started under it' };
  if (/KVM internal error|KVM: (entry|unknown exit)/i.test(line)) {
    return { usable: false, reason: `a kernel cannot start under it (${line.trim().replace(/^.*?KVM/, 'KVM')})` };
  }
  return undefined;
}

/** How a trial went. */
export interface TrialOutcome {
  readonly usable: boolean;
  /** For people. */
  readonly reason: string;
  /**
   * Where it comes from. Told: in words of the kernel or of KVM. Silent: the machine has ended without any, which says something only
   * of one whose kernel is known to speak. Nothing: it took too long, or what is wrong is another thing.
   */
  readonly source: 'told' | 'silent' | 'nothing';
}

/**
 * Starts a machine under KVM and looks for the first line of its kernel. That /dev/kvm opens, that machines and processors can be
 * made, that firmware runs: all of it is true on hosts where no kernel starts.
 *
 * @param argv of `qemuTrialArgv`
 */
export async function tryKvm(sandbox: CommandRunner, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<TrialOutcome> {
  const enough = new AbortController();
  let said: ReturnType<typeof trialSays>;
  let heard = '';
  const onLine = (line: string): void => {
    if (line.trim() !== '') heard = line.trim();
    said ??= trialSays(line);
    if (said !== undefined) enough.abort();
  };
  let source: TrialOutcome['source'] = 'silent';
  let reason = 'no kernel has started under it';
  try {
    await sandbox.run(argv, { signal: AbortSignal.any([signal, enough.signal]), timeoutMs: FIRST_LINE_MS, onLine });
  } catch (error) {
    if (isTimeout(error)) {
      source = 'nothing';
      reason += ` within ${FIRST_LINE_MS / 1000} s`;
    } else if (error instanceof CommandError) {
      source = sourceOfFailure(error);
    } else if (said === undefined) {
      throw error;
    }
  }
  if (said !== undefined) return { ...said, source: 'told' };
  return { usable: false, reason: heard === '' ? reason : `${reason} (${heard})`, source };
}

function isTimeout(error: unknown): boolean {
  return error instanceof KvciError && error.code === 'timed-out';
}

/** What QEMU says when it refuses a machine may be of KVM, or of the disk, the kernel, the memory. */
function sourceOfFailure(error: CommandError): TrialOutcome['source'] {
  const failure = qemuFailure(error, 'trial');
  const code = failure instanceof KvciError ? failure.code : undefined;
  if (code === 'kvm-unusable') return 'told';
  return code === 'machine-not-started' ? 'silent' : 'nothing';
}

export interface AcceleratorQuestion {
  /** Whether the sandbox may open /dev/kvm. */
  readonly device: 'usable' | 'closed' | 'absent';
  readonly remembered: KvmVerdict | undefined;
}

/** What follows from what is known; `try` when only a trial can tell. */
export function chooseAccelerator({
  device,
  remembered,
}: AcceleratorQuestion): { readonly accelerator: Accelerator; readonly note?: string } | 'try' {
  if (device !== 'usable') return { accelerator: 'tcg', note: noDeviceNote(device) };
  if (remembered === undefined) return 'try';
  return remembered.usable ? { accelerator: 'kvm' } : { accelerator: 'tcg', note: emulationNote(remembered.reason) };
}

export function noDeviceNote(device: 'closed' | 'absent'): string {
  const why = device === 'absent' ? 'this host has no KVM' : '/dev/kvm is closed to this user';
  return `${why}: machines are emulated, which is about ten times as slow`;
}

export function emulationNote(reason: string): string {
  return `KVM is there but cannot be used: ${reason}; machines are emulated, which is about ten times as slow`;
}

/** For a machine that is emulated because its trial told nothing: the next one is tried anew. */
export function untoldNote(reason: string): string {
  return `it could not be told whether KVM can be used: ${reason}; this machine is emulated, which is about ten times as slow`;
}
