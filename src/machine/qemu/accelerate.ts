import type { EventSink } from '../../core/events.ts';
import type { CommandRunner, Directories } from '../../host/types.ts';
import type { Architecture } from '../../payload/types.ts';
import type { Acceleration } from '../vm-options.ts';
import type { DeviceState } from './checks.ts';
import { chooseAccelerator, emulationNote, readVerdict, tryKvm, untoldNote, writeVerdict } from './kvm.ts';
import { type Accelerator, type QemuMachine, qemuProgram, qemuTrialArgv } from './qemu-arguments.ts';

export interface AccelerateParts {
  readonly events: EventSink;
  readonly directories: Pick<Directories, 'state'>;
  readonly architecture: Architecture;
}

/** KVM where it has proven itself, emulation otherwise; says why. @param trial the machine that is tried where nobody knows yet */
export async function accelerate(
  { events, directories, architecture }: AccelerateParts,
  runner: CommandRunner,
  wanted: Acceleration,
  trial: () => Promise<QemuMachine>,
  signal: AbortSignal,
): Promise<Accelerator> {
  // Whatever is known of KVM.
  if (wanted !== 'auto') return wanted === 'kvm' ? 'kvm' : 'tcg';
  const note = (message: string): void => {
    events({ type: 'problem', level: 'note', message });
  };
  const [qemu, device] = await Promise.all([qemuRelease(runner, architecture, signal), deviceInside(runner, '/dev/kvm')]);
  const known = chooseAccelerator({ device, remembered: await readVerdict(directories.state, qemu) });
  if (known !== 'try') {
    if (known.note !== undefined) note(known.note);
    return known.accelerator;
  }
  const machine = await trial();
  const { usable, reason, source } = await tryKvm(runner, qemuTrialArgv(machine), signal);
  // A disk that is bad, or whose console is elsewhere, says nothing of KVM; that of a direct boot is told by its own arguments.
  const told = source === 'told' || (source === 'silent' && machine.boot.firmware === 'direct');
  if (told) await writeVerdict(directories.state, { qemu, usable, reason });
  if (!usable) note((told ? emulationNote : untoldNote)(reason));
  return usable ? 'kvm' : 'tcg';
}

/** Has KVM known as unusable for the rest of the host's boot: it has failed a machine that ran. */
export async function rememberFailure(
  { directories, architecture }: Omit<AccelerateParts, 'events'>,
  runner: CommandRunner,
  reason: string,
): Promise<void> {
  await writeVerdict(directories.state, { qemu: await qemuRelease(runner, architecture), usable: false, reason });
}

/** The first line of what QEMU says of its version. */
export async function qemuRelease(runner: CommandRunner, architecture: Architecture, signal?: AbortSignal): Promise<string> {
  const { stdout } = await runner.run([qemuProgram(architecture), '--version'], signal === undefined ? {} : { signal });
  return stdout.split('\n')[0] ?? '';
}

/** Exit codes 1 and 2: the shell cannot open it. Rights alone do not tell. */
const OPEN_DEVICE = 'test -c "$1" || exit 3; : <>"$1"';

/** Whether a sandbox may use a device. */
export async function deviceInside(runner: CommandRunner, path: string): Promise<DeviceState> {
  const { exitCode } = await runner.run(['sh', '-c', OPEN_DEVICE, 'sh', path], { accept: [1, 2, 3] });
  if (exitCode === 3) return 'absent';
  return exitCode === 0 ? 'usable' : 'closed';
}
