import type { EventSink } from '../../core/events.ts';
import type { NodeHandle } from '../../machine/types.ts';
import { COMMAND_DEADLINE_MS } from '../deadlines.ts';

/** What of a boot takes time or is waited for; units that a node does not have are left out. */
const UNITS = ['kvci-images.service', 'kvci-pod-network.service', 'containerd.service', 'crio.service', 'kubelet.service'];

export interface BootPhase {
  readonly title: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
}

/** Tells how a node booted, as far as that was after `since`. It is for records only: a node that does not answer is no failure. */
export async function tellBootPhases(handle: NodeHandle, since: number, signal: AbortSignal, events: EventSink): Promise<void> {
  const show = async (...args: readonly string[]): Promise<string> => {
    const argv = ['systemctl', 'show', '--timestamp=us+utc', ...args] as const;
    return (await handle.run(argv, { timeoutMs: COMMAND_DEADLINE_MS, signal })).stdout;
  };
  try {
    const [manager, units] = await Promise.all([
      show('--property=UserspaceTimestamp,FinishTimestamp'),
      show('--property=Id,InactiveExitTimestamp,ActiveEnterTimestamp', ...UNITS),
    ]);
    for (const { title, from, to } of bootPhases(manager, units)) {
      if (from >= since) events({ type: 'span', title, node: handle.name, from, to });
    }
  } catch {
    // Nothing but a record is poorer.
  }
}

/** Reads what `systemctl show --timestamp=us+utc` says of systemd itself and of units. */
export function bootPhases(manager: string, units: string): readonly BootPhase[] {
  const read = (text: string, title: string | undefined, from: string, to: string): readonly BootPhase[] => {
    const [start, end] = [timeOf(text, from), timeOf(text, to)];
    return title === undefined || start === undefined || end === undefined ? [] : [{ title, from: start, to: Math.max(start, end) }];
  };
  return [
    ...read(manager, 'systemd', 'UserspaceTimestamp', 'FinishTimestamp'),
    ...units
      .split('\n\n')
      .flatMap((unit) => read(unit, /^Id=(.+)\.service$/m.exec(unit)?.[1], 'InactiveExitTimestamp', 'ActiveEnterTimestamp')),
  ];
}

function timeOf(text: string, property: string): number | undefined {
  const [, day, time] = new RegExp(`^${property}=\\w+ ([\\d-]+) ([\\d:.]+) UTC$`, 'm').exec(text) ?? [];
  return day === undefined || time === undefined ? undefined : Date.parse(`${day}T${time}Z`);
}
