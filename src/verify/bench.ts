import type { NodeHandle } from '../machine/types.ts';
import type { NetworkCase } from './network-cases.ts';

/** How long a start took, in milliseconds from the start of the container or machine. */
export interface BootTimes {
  /** Until commands can be run. */
  readonly commands: number;
  /** Until DHCP gave it an address of a family; of machines only, where it did. */
  readonly ipv4?: number;
  readonly ipv6?: number;
}

/** A node to be tested, thrown away when it is let go of. */
export interface TestNode extends AsyncDisposable {
  readonly handle: NodeHandle;
  /** Of the last start; addresses may still come, so that it is asked late. */
  times(): BootTimes;
  /** Shuts the system down in order and starts it again, with the same disk. */
  reboot(signal: AbortSignal): Promise<void>;
}

/** Where nodes of one image, or copies of one disk, are started. */
export interface TestBench {
  /** What machines run by, `kvm` or `tcg`; known when the first has started. */
  readonly accelerator?: string | undefined;
  /** For how many nodes at a time this host has room; missing where they take none of their own. */
  room?(): Promise<number>;
  /**
   * @param network of a machine: it is alone in a network of that kind
   * @throws KvciError where it does not come up; the fact `console` holds the last lines of its console
   */
  boot(name: string, network: NetworkCase | undefined, signal: AbortSignal): Promise<TestNode>;
}
