import { readFile } from 'node:fs/promises';

import type { Clock } from '../core/clock.ts';
import { hasErrno } from '../core/errors.ts';
import type { IpFamily, NodeAddresses } from '../machine/types.ts';

/** How often the leases are read: a small file in memory. */
const POLL_MS = 100;

export type LeaseTimes = Readonly<Partial<Record<IpFamily, number>>>;

/** When a machine got its addresses. Letting go of it ends the watch. */
export interface LeaseWatch extends Disposable {
  /** Milliseconds from the start of the watch, of each family that has come. */
  seen(): LeaseTimes;
}

/** Watches dnsmasq's file of leases until every address of a machine is in it. */
export function watchLeases(file: string, addresses: NodeAddresses, clock: Clock): LeaseWatch {
  const started = clock.monotonic();
  const ended = new AbortController();
  let seen: LeaseTimes = {};
  const watch = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const leased = leasedFamilies(await textOf(file), addresses);
      const now = clock.monotonic() - started;
      seen = { ...Object.fromEntries(leased.map((family) => [family, now])), ...seen };
      if (Object.keys(seen).length === Object.keys(addresses).length) return;
      await clock.wait(POLL_MS, ended.signal).catch(() => undefined);
    }
  };
  // A file that cannot be read any more is that of a network that has ended.
  watch().catch(() => undefined);
  return {
    seen: () => seen,
    [Symbol.dispose]: () => {
      ended.abort();
    },
  };
}

/** Families whose address of a machine stands in a file of leases. */
export function leasedFamilies(leases: string, { ipv4, ipv6 }: NodeAddresses): readonly IpFamily[] {
  const words = new Set(leases.split(/\s+/));
  const has = (address: string | undefined): boolean => address !== undefined && words.has(address);
  return [...(has(ipv4) ? (['ipv4'] as const) : []), ...(has(ipv6) ? (['ipv6'] as const) : [])];
}

/** dnsmasq makes the file with the first lease. */
async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return '';
    throw error;
  }
}
