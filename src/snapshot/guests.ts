import { randomBytes } from 'node:crypto';

import { COMMAND_DEADLINE_MS } from '../cluster/deadlines.ts';
import type { RunContext } from '../core/plan.ts';
import { templateSource } from '../core/template-source.ts';
import type { TemplateSources } from '../core/template.ts';
import type { NodeHandle } from '../machine/types.ts';

/** What the pool of a kernel holds. */
const SEED_BYTES = 64;

/** Unit in a node that follows the clock of its machine, from its first saving until it is shut down. */
const CLOCK_UNIT = 'kvci-clock.service';

/**
 * Sets the clock and feeds the random number generator: two machines of one state would go on with the same numbers. A kernel that
 * knows its generation (vmgenid) has made new ones already; others mix these in.
 */
function wakeUp(now: number, seed: Buffer): string {
  return `date --utc --set=@${(now / 1000).toFixed(3)} >/dev/null && base64 -d <<<${seed.toString('base64')} >/dev/urandom || exit
let_go; catch_up`;
}

/** What a node that is saved does before that and after it. */
export interface Guests {
  /**
   * Readies a node for being saved: from now on it follows the clock of its machine, so that it is right within a second when it goes
   * on, whoever can reach it by then. Nothing happens in one that does so already.
   */
  ready(node: NodeHandle, signal: AbortSignal): Promise<void>;
  /**
   * Holds back what is not to run first when the node goes on from what is saved, until {@link Guests.letGo} or until it has gone on: its
   * kubelet stands still and renews its lease at once then, instead of some time in the next ten seconds. The node lets all of it go by
   * itself where nobody does.
   */
  hold(node: NodeHandle, signal: AbortSignal): Promise<void>;
  letGo(node: NodeHandle, signal: AbortSignal): Promise<void>;
  /** Puts a node right that has just gone on from what was saved: it takes the time of its saving for now. */
  wake(node: NodeHandle, context: Pick<RunContext, 'clock' | 'signal'>): Promise<void>;
}

/** @throws KvciError `template-missing` */
export function guestsBy(templates: TemplateSources): Guests {
  const held = templateSource(templates, 'snapshot/held.sh');
  const within = (signal: AbortSignal): { timeoutMs: number; signal: AbortSignal } => ({ timeoutMs: COMMAND_DEADLINE_MS, signal });
  // By its input: nobody wants to read all of it where commands are told.
  const tell = async (node: NodeHandle, words: string, signal: AbortSignal, accept: readonly number[] = []): Promise<void> => {
    await node.run(['bash', '-s'], { ...within(signal), stdin: `${held}\n${words}\n`, accept });
  };
  return {
    ready: async (node, signal) => {
      // Exit codes 3 and 4: it does not run, there is none.
      const { exitCode } = await node.run(['systemctl', 'is-active', '--quiet', CLOCK_UNIT], { ...within(signal), accept: [3, 4] });
      if (exitCode === 0) return;
      const follow = `${held}\n${templateSource(templates, 'snapshot/follow-clock.sh')}`;
      // Before all others, in a group of its own beside theirs.
      const first = ['--slice=-.slice', '--property=CPUWeight=10000'];
      const unit = ['systemd-run', '--quiet', '--collect', `--unit=${CLOCK_UNIT}`, '--property=Restart=always'] as const;
      await node.run([...unit, ...first, 'bash', '-c', follow], within(signal));
    },
    // Exit code 1: there is no kubelet that runs.
    hold: (node, signal) => tell(node, 'hold', signal, [1]),
    letGo: (node, signal) => tell(node, 'let_go; catch_up', signal),
    wake: (node, { clock, signal }) => tell(node, wakeUp(clock.now(), randomBytes(SEED_BYTES)), signal),
  };
}
