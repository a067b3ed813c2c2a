import { KvciError, messageOf } from '../../core/errors.ts';
import type { CommandRunner } from '../../host/types.ts';
import { type AccelerateParts, rememberFailure } from './accelerate.ts';

/** QEMU stops a machine that KVM fails, and nothing makes it go on. */
export function kvmFailure(name: string): KvciError {
  return new KvciError('hostNotReady', 'kvm-unusable', `${name}: KVM cannot run this machine (QEMU reports an internal error)`, {
    hint: 'Use --acceleration emulation.',
    facts: { machine: name },
  });
}

/** No other machine is to fail by it. Before the end of this one: whoever goes on then without KVM finds that written. */
export async function rememberKvmFailure(parts: AccelerateParts, runner: CommandRunner, name: string): Promise<void> {
  await rememberFailure(parts, runner, `${name} was ended by an internal error of QEMU`).catch((error: unknown) => {
    parts.events({ type: 'problem', level: 'warning', message: `that KVM is unusable cannot be remembered: ${messageOf(error)}` });
  });
}
