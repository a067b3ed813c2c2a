import { randomBytes } from 'node:crypto';

import { COMMAND_DEADLINE_MS } from '../cluster/deadlines.ts';
import type { RunContext } from '../core/plan.ts';
import type { TemplateSources } from '../core/template.ts';
import { KvciError } from '../core/errors.ts';
import type { NodeHandle } from '../machine/types.ts';

/** What the pool of a kernel holds. */
const SEED_BYTES = 64;

/** Unit in a node that follows the clock of its machine, from its first saving until it is shut down. */
const CLOCK_UNIT = 'kvci-clock.service';

/**
 * Sets the clock and feeds the random number generator: two machines of one state would go on with the same numbers. A kernel that
 * knows its generation (vmgenid) has made new ones already; others mix these in.
 */
const WAKE = `date --utc --set="@$1" >/dev/null && cat >/dev/urandom || exit; ${letGo('$2')}`;

/** Where a node has the process id of its kubelet while that is held back (`templates/snapshot/follow-clock.sh`). */
const HELD = '/run/kvci-held';

/** Exit code 1: there is none that runs. */
const HOLD = `pid=$(systemctl show --property=MainPID --value kubelet.service) && [ "$pid" != 0 ] && echo "$pid" >"$1" && kill -STOP "$pid"`;

/** Words of a shell that let a kubelet go that is held back. @param file what has its process id, in words of that shell */
function letGo(file: string): string {
  return `if [ -s "${file}" ] && read -r pid <"${file}"; then : >"${file}"; kill -CONT "$pid"; fi`;
}

/** Puts a node right that has just gone on from what was saved: it takes the time of its saving for now. */
export async function wakeGuest(node: NodeHandle, { clock, signal }: Pick<RunContext, 'clock' | 'signal'>): Promise<void> {
  const now = (clock.now() / 1000).toFixed(3);
  await node.run(['sh', '-c', WAKE, 'sh', now, HELD], { stdin: randomBytes(SEED_BYTES), timeoutMs: COMMAND_DEADLINE_MS, signal });
}

/**
 * Readies a node for being saved: from now on it follows the clock of its machine, so that it is right within a second when it goes on,
 * whoever can reach it by then. Nothing happens in one that does so already.
 */
export async function readyGuest(node: NodeHandle, templates: TemplateSources, signal: AbortSignal): Promise<void> {
  const script = templates.get('snapshot/follow-clock.sh');
  if (script === undefined) throw new KvciError('bug', 'template-missing', 'no template named "snapshot/follow-clock.sh"');
  const options = { timeoutMs: COMMAND_DEADLINE_MS, signal };
  // Exit codes 3 and 4: it does not run, there is none.
  const { exitCode } = await node.run(['systemctl', 'is-active', '--quiet', CLOCK_UNIT], { ...options, accept: [3, 4] });
  if (exitCode === 0) return;
  await node.run(
    ['systemd-run', '--quiet', '--collect', `--unit=${CLOCK_UNIT}`, '--property=Restart=always', 'bash', '-c', script],
    options,
  );
}

/**
 * Holds the kubelet of a node back until {@link letGuestGo}, or until the node goes on from what is saved meanwhile: it renews its lease
 * at once then, instead of some time in the next ten seconds. The node lets it go by itself where nobody does.
 */
export async function holdGuest(node: NodeHandle, signal: AbortSignal): Promise<void> {
  await node.run(['sh', '-c', HOLD, 'sh', HELD], { accept: [1], timeoutMs: COMMAND_DEADLINE_MS, signal });
}

export async function letGuestGo(node: NodeHandle, signal: AbortSignal): Promise<void> {
  await node.run(['sh', '-c', letGo('$1'), 'sh', HELD], { timeoutMs: COMMAND_DEADLINE_MS, signal });
}
