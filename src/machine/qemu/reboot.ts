import type { Clock } from '../../core/clock.ts';
import { KvciError } from '../../core/errors.ts';
import { CommandError } from '../../host/command-error.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { NodeHandle } from '../types.ts';
import type { VmAccess } from './vm.ts';

/** How often it is asked whether it is another boot. */
const POLL_MS = 100;

export interface RebootParts extends Pick<VmAccess, 'name' | 'node'> {
  /** Commands in the machine. */
  readonly runner: Pick<CommandRunner, 'run'>;
  readonly clock: Clock;
}

/** @throws KvciError `machine-not-reachable` also where the machine answers all the time and does not restart; what `node` throws */
export async function rebootMachine(
  { name, node, runner, clock }: RebootParts,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<NodeHandle> {
  const bootId = async (): Promise<string> => (await runner.run(['cat', '/proc/sys/kernel/random/boot_id'], { signal })).stdout;
  const before = await bootId();
  let refusal: CommandError | undefined;
  await runner.run(['systemctl', 'reboot'], { signal }).catch((error: unknown) => {
    if (error instanceof CommandError) refusal = error;
    unlessLost(error);
  });
  const deadline = clock.monotonic() + deadlineMs;
  for (;;) {
    const again = await node(deadline - clock.monotonic(), signal);
    const now = await bootId().catch(unlessLost);
    if (now !== undefined && now !== before) return again;
    // Where it answers nothing else looks at the time.
    if (clock.monotonic() > deadline) throw notRebooted(name, deadlineMs, refusal);
    // An abort shows in the next round.
    await clock.wait(POLL_MS, signal).catch(() => undefined);
  }
}

function notRebooted(name: string, deadlineMs: number, refusal: CommandError | undefined): KvciError {
  const why = refusal === undefined ? 'it answers, and is the same boot' : refusal.message;
  return new KvciError('timedOut', 'machine-not-reachable', `${name} has not rebooted within ${deadlineMs / 1000} s: ${why}`, {
    hint: 'A unit that does not stop holds a reboot up: "systemctl list-jobs" in the machine names it.',
    facts: { machine: name, cause: 'no-reboot' },
    cause: refusal,
  });
}

/** A machine that goes down takes the connection with it, and the command may say anything. */
function unlessLost(error: unknown): undefined {
  if (error instanceof CommandError || (error instanceof KvciError && ['ssh-lost', 'ssh-unreachable'].includes(error.code)))
    return undefined;
  throw error;
}
