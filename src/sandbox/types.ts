import type { CommandRunner } from '../host/types.ts';

/** A host folder or file that is seen inside a sandbox. */
export interface Bind {
  readonly host: string;
  /** Absolute path inside. */
  readonly inside: string;
  readonly writable: boolean;
}

export interface SandboxRequest {
  /** For errors, events and process titles: `mmdebstrap`, `engine`. */
  readonly name: string;
  readonly binds: readonly Bind[];
  /** `host` keeps the host's network; `private` has loopback only. */
  readonly network: 'host' | 'private';
  /** A cgroup2 mounted over the sandbox's own view of /sys/fs/cgroup: container engines need it. */
  readonly cgroups: boolean;
  readonly signal: AbortSignal;
}

/**
 * A running sandbox over the tools image, lifetime *bound*: it ends, with everything in it, when it is disposed and when kvci
 * dies, however it dies.
 */
export interface Sandbox extends CommandRunner, AsyncDisposable {
  /** Host pid of the sandbox's pid 1. */
  readonly pid: number;
  /** Rejects when the sandbox ends before it is disposed. */
  readonly ended: Promise<void>;
}

export interface Sandboxes {
  /** Makes the tools image first if it is not there. */
  start(request: SandboxRequest): Promise<Sandbox>;
}
