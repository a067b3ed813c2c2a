import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';

/** How much of the last minute somebody has waited for a processor of this host, from 0 to 1. */
export async function cpuPressure(): Promise<number> {
  // Kernels without it, or that have it switched off, tell how many would run.
  const text = await readFile('/proc/pressure/cpu', 'utf8').catch(() => undefined);
  return text === undefined ? pressureOfLoad(loadavg()[0] ?? 0, availableParallelism()) : parsePressure(text);
}

/** `avg60` of the line `some` (https://docs.kernel.org/accounting/psi.html), in percent there. */
export function parsePressure(text: string): number {
  return Number(/^some .*\bavg60=([\d.]+)/m.exec(text)?.[1] ?? 0) / 100;
}

/** With as many that would run as there are processors nobody waits; with twice as many each waits half of the time. */
export function pressureOfLoad(load: number, processors: number): number {
  return load <= processors ? 0 : 1 - processors / load;
}
