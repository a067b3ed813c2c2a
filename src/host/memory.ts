import { readFile } from 'node:fs/promises';

/** Bytes that new processes can have without others being swapped out, as the kernel estimates it. */
export async function memoryAvailable(): Promise<number> {
  return parseMemoryAvailable(await readFile('/proc/meminfo', 'utf8'));
}

/** `MemAvailable` of /proc/meminfo (proc_meminfo(5)), which counts in KiB. */
export function parseMemoryAvailable(text: string): number {
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.NaN) * 1024;
}
