import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';

import type { RunContext } from '../core/plan.ts';

/** Long enough for a share of it to mean something, short beside whatever somebody asks for. */
const WATCHED_MS = 1000;

/**
 * How much of the time somebody waits for a processor of this host, from 0 to 1. It is watched for a moment: the averages that the
 * kernel keeps have in them what kvci itself did just before.
 */
export async function cpuPressure({ clock, signal }: Pick<RunContext, 'clock' | 'signal'>): Promise<number> {
  const read = (): Promise<string | undefined> => readFile('/proc/pressure/cpu', 'utf8').catch(() => undefined);
  const started = clock.monotonic();
  const before = await read();
  // Kernels without it, or that have it switched off, tell how many would run.
  if (before === undefined) return pressureOfLoad(loadavg()[0] ?? 0, availableParallelism());
  await clock.wait(WATCHED_MS, signal);
  const after = await read();
  return (waitedMs(after ?? before) - waitedMs(before)) / (clock.monotonic() - started);
}

/** `total` of the line `some` (https://docs.kernel.org/accounting/psi.html), in microseconds there. */
export function waitedMs(text: string): number {
  return Number(/^some .*\btotal=(\d+)/m.exec(text)?.[1] ?? 0) / 1000;
}

/** With as many that would run as there are processors nobody waits; with twice as many each waits half of the time. */
export function pressureOfLoad(load: number, processors: number): number {
  return load <= processors ? 0 : 1 - processors / load;
}
