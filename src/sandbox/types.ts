import type { CommandRunner } from '../host/types.ts';

/** A host folder or file that is seen inside a sandbox. */
export interface Bind {
  readonly host: string;
  /** Absolute path inside; made when it is not there. */
  readonly inside: string;
  readonly writable: boolean;
}

/** How a sandbox is made: of Linux namespaces by kvci itself, or as a container by an engine of this host. */
export const SANDBOX_KINDS = ['namespaces', 'container'] as const;
export type SandboxKind = (typeof SANDBOX_KINDS)[number];

export interface SandboxRequest {
  /** Default: namespaces. */
  readonly kind?: SandboxKind;
  /** Socket of the engine that a container is to be of; default: one that is looked for. */
  readonly engine?: string;
  /** For errors, events and process titles: `mmdebstrap`, `engine`. */
  readonly name: string;
  readonly binds: readonly Bind[];
  /** `host` keeps the host's network; `private` has loopback only. */
  readonly network: 'host' | 'private';
  /**
   * A private network leads outside by what the engine of a container has for that, where it has something. One of namespaces has
   * no way of its own.
   */
  readonly outbound?: boolean;
  /** Settings of the kernel for a private network: values by path below /proc/sys. Those that this kernel does not have are left out. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A cgroup2 mounted over the sandbox's own view of /sys/fs/cgroup: container engines need it. */
  readonly cgroups: boolean;
  /** A cgroup2 folder of the host that this user may write: the sandbox and all it runs are in it, and see nothing above it. */
  readonly cgroup?: string;
  /** A host folder for /tmp and /var/tmp; without it /tmp is in memory. */
  readonly scratch?: string;
  readonly signal: AbortSignal;
}

/** What finds a sandbox again, also from another process. */
export type SandboxRecord = NamespacesRecord | ContainerRecord;

/** A sandbox of namespaces: its pid 1 and what tells it from a later process of the same pid. */
export interface NamespacesRecord {
  /** Missing in records of versions that knew no other kind. */
  readonly kind?: 'namespaces';
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

/** A sandbox that is a container. */
export interface ContainerRecord {
  readonly kind: 'container';
  readonly name: string;
  /** Value of the label by which its engine finds it. */
  readonly id: string;
  /** Socket of the engine. */
  readonly engine: string;
  readonly network: 'host' | 'private';
  /** Folder of the host that is `/run/kvci` inside. */
  readonly folder: string;
  /** Whom of the host commands run as where root inside is root of the host, and kvci is not. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** The folder of the tools image that a sandbox stands on: it must stay. An engine has a copy of its own. */
export function toolsOf(record: SandboxRecord | undefined): string | undefined {
  return record === undefined || record.kind === 'container' ? undefined : record.tools;
}

/** The files of a sandbox, as whoever started it sees them. */
export interface SandboxFiles {
  /**
   * Where this host has a file of the sandbox: a socket to connect to, a file to follow. Of a container only what is below
   * `/run/kvci` is seen.
   */
  outside(path: string): string;
}

/**
 * A running sandbox over the tools image, lifetime *bound*: it ends, with everything in it, when it is disposed and when kvci
 * dies, however it dies.
 *
 * A command sees a clean environment (PATH, HOME, LANG, the host's proxies) and what its options add to it.
 */
export interface Sandbox extends CommandRunner, SandboxFiles, AsyncDisposable {
  /** Rejects when the sandbox ends before it is disposed. */
  readonly ended: Promise<void>;
  readonly record: SandboxRecord;
}

/** A sandbox that outlives kvci. Any number of processes may hold one by its record. */
export interface DetachedSandbox extends CommandRunner, SandboxFiles {
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
   * The sandbox of a record, or undefined when it no longer runs. A record that is changed to the host's network finds the same
   * sandbox, in which commands see that network.
   *
   * @throws KvciError `sandbox-elsewhere` when it was started in another pid namespace, where alone its pid means something;
   *   `engine-unreachable` when the engine of a container does not answer
   */
  find(record: SandboxRecord): Promise<DetachedSandbox | undefined>;
  /**
   * A bound sandbox over the host's own root, in which one is root and all of kvci's ids exist, but nothing else changes:
   * where tools of the host make the tools image, and where a folder that holds mapped ids can be removed.
   */
  startOverHost(request: Pick<SandboxRequest, 'name' | 'signal'>): Promise<Sandbox>;
}
