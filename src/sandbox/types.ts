import type { CommandRunner } from '../host/types.ts';

/** A host folder or file that is seen inside a sandbox. */
export interface Bind {
  readonly host: string;
  /** Absolute path inside; made when it is not there. */
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
  /** A cgroup2 folder of the host that this user may write: the sandbox and all it runs are in it, and see nothing above it. */
  readonly cgroup?: string;
  /** A host folder for /tmp and /var/tmp; without it /tmp is in memory. */
  readonly scratch?: string;
  readonly signal: AbortSignal;
}

/** What finds a sandbox again, also from another process: its pid 1 and what tells it from a later process of the same pid. */
export interface SandboxRecord {
  readonly name: string;
  /** Host pid of the sandbox's pid 1. */
  readonly pid: number;
  /** As `ProcessIdentity` has it. */
  readonly startTime: string;
  /** The pid namespace in which `pid` counts, as /proc/PID/ns/pid tells it. */
  readonly namespace: string;
  readonly network: 'host' | 'private';
  /** As the request has it. */
  readonly cgroup?: string;
  /** The folder of the tools image that it stands on. */
  readonly tools?: string;
}

/**
 * A running sandbox over the tools image, lifetime *bound*: it ends, with everything in it, when it is disposed and when kvci
 * dies, however it dies.
 *
 * A command sees a clean environment (PATH, HOME, LANG, the host's proxies) and what its options add to it.
 */
export interface Sandbox extends CommandRunner, AsyncDisposable {
  /** Host pid of the sandbox's pid 1. */
  readonly pid: number;
  /** Rejects when the sandbox ends before it is disposed. */
  readonly ended: Promise<void>;
  readonly record: SandboxRecord;
}

/** A sandbox that outlives kvci. Any number of processes may hold one by its record. */
export interface DetachedSandbox extends CommandRunner {
  readonly record: SandboxRecord;
  /** Ends it with everything in it; nothing happens when it is gone already. */
  end(): Promise<void>;
}

export interface Sandboxes {
  /** Makes the tools image first if it is not there. */
  start(request: SandboxRequest): Promise<Sandbox>;
  /**
   * Starts a sandbox that stays when kvci ends. `keep` writes the record to where `down` and `prune` find it; until it has
   * returned the sandbox is bound, so that a kill at any point leaves either the record or no sandbox.
   */
  startDetached(request: SandboxRequest, keep: (record: SandboxRecord) => Promise<void>): Promise<DetachedSandbox>;
  /**
   * The sandbox of a record, or undefined when it no longer runs.
   *
   * @throws KvciError `sandbox-elsewhere` when it was started in another pid namespace, where alone its pid means something
   */
  find(record: SandboxRecord): Promise<DetachedSandbox | undefined>;
  /**
   * A bound sandbox over the host's own root, in which one is root and all of kvci's ids exist, but nothing else changes:
   * where tools of the host make the tools image, and where a folder that holds mapped ids can be removed.
   */
  startOverHost(request: Pick<SandboxRequest, 'name' | 'signal'>): Promise<Sandbox>;
}
