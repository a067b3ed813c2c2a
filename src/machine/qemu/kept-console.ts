import { chmod, copyFile, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** How many consoles of machines that did not come up are kept. */
const KEPT = 10;

/**
 * Keeps the console of a machine that is about to go, and lets the oldest of those that are kept go.
 *
 * @param now milliseconds since the epoch
 * @returns where it is
 */
export async function keepConsole(file: string, name: string, state: string, now: number): Promise<string> {
  const folder = join(state, 'consoles');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // The time comes first: names sort by it.
  const kept = join(folder, `${new Date(now).toISOString().replaceAll(':', '')}-${name}.log`);
  await copyFile(file, kept);
  await chmod(kept, 0o600);
  for (const old of (await readdir(folder)).toSorted().slice(0, -KEPT)) await rm(join(folder, old), { force: true });
  return kept;
}
