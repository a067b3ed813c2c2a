import type { Readable, Writable } from 'node:stream';

import type { Digest } from '../core/digest.ts';
import type { KvciError } from '../core/errors.ts';
import type { Secret } from '../core/secrets.ts';

// ---- commands -------------------------------------------------------------------------------------------------------

export interface CommandOptions {
  readonly cwd?: string;
  /** Added to the runner's environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Text, bytes or a stream for the command's standard input; nothing (`/dev/null`) by default. */
  readonly stdin?: string | Uint8Array | Readable;
  /** Where standard output goes instead of into the result. */
  readonly stdout?: Writable;
  readonly signal?: AbortSignal;
  /** A deadline for a hang; the command is ended with everything it started and `timed-out` is thrown. */
  readonly timeoutMs?: number;
  /** Called for every line of both streams as it comes. */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
  /** Exit codes other than 0 that are an answer and not a failure. */
  readonly accept?: readonly number[];
}

export interface CommandResult {
  readonly argv: readonly string[];
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** Something one can run commands on: the host, a sandbox, later a container or a VM. No shell is ever involved. */
export interface CommandRunner {
  /** Names the place in errors and events: `host`, `tools sandbox`, `node01`. */
  readonly where: string;
  /** @throws CommandError for an exit code that is not accepted, `command-missing`, `timed-out`, `cancelled` */
  run(argv: readonly [string, ...string[]], options?: CommandOptions): Promise<CommandResult>;
}

// ---- downloads ------------------------------------------------------------------------------------------------------

export interface DownloadRequest {
  readonly url: string;
  /** When given, other bytes are refused (`checksum-mismatch`). */
  readonly sha256?: Digest;
  readonly headers?: Readonly<Record<string, string | Secret>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number | undefined) => void;
}

/** HTTP(S) with the host's proxies and private CAs. Transient failures are retried; a 4xx is final. */
export interface Downloads {
  /** @throws KvciError `offline`, `not-served` (404, 403, 410), `download-failed` */
  text(request: DownloadRequest): Promise<string>;
  /** Streams to `path` by a temp name and a rename; answers what was written. @throws as `text`, and `checksum-mismatch` */
  file(request: DownloadRequest, path: string): Promise<{ readonly digest: Digest; readonly size: number }>;
  /** True when the server answers the URL with success to a HEAD or ranged GET; false for `offline` and for every refusal. */
  answers(url: string, signal?: AbortSignal): Promise<boolean>;
}

// ---- directories ----------------------------------------------------------------------------------------------------

/** kvci's own folders by the XDG base directory specification; all are made on first use with mode 0700. */
export interface Directories {
  /** Artifacts by digest; safe to delete whole. */
  readonly cache: string;
  /** What exists because of kvci: the ledger, state of clusters. */
  readonly state: string;
  /** Sockets and locks of running processes; gone after a reboot where the host has XDG_RUNTIME_DIR. */
  readonly runtime: string;
}

// ---- locks and the store --------------------------------------------------------------------------------------------

/** A lock between processes that the kernel frees when its holder dies. */
export interface Locks {
  /** Waits until the lock is free. @throws KvciError `cancelled`, `lock-unusable` */
  exclusive(path: string, options?: LockOptions): Promise<AsyncDisposable>;
  /** Held together with other shared holders, never with an exclusive one. */
  shared(path: string, options?: LockOptions): Promise<AsyncDisposable>;
  /** Undefined when somebody else holds it. */
  tryExclusive(path: string): Promise<AsyncDisposable | undefined>;
}

export interface LockOptions {
  readonly signal?: AbortSignal;
  /** Called once when the lock is not free at once. */
  readonly onWait?: () => void;
}

export interface Artifact {
  readonly kind: string;
  readonly key: Digest;
  /** The folder that holds the artifact's files; read-only by agreement. */
  readonly path: string;
  readonly record: ArtifactRecord;
}

export interface ArtifactRecord {
  readonly version: 1;
  readonly kind: string;
  readonly key: Digest;
  /** What the key was computed from, for people and for `cache list`. */
  readonly inputs: unknown;
  readonly title: string;
  /** ISO 8601. */
  readonly madeAt: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Facts that the maker wants to find again without opening files. */
  readonly facts: unknown;
}

/**
 * Artifacts by the digest of all their inputs. An artifact is made in a temp folder and renamed, under a lock of its key:
 * whoever asks for a key that another process is making waits for it.
 */
export interface ArtifactStore {
  find(kind: string, key: Digest): Promise<Artifact | undefined>;
  make(request: MakeRequest): Promise<Artifact>;
  list(): Promise<readonly Artifact[]>;
  remove(artifact: Artifact): Promise<void>;
}

export interface MakeRequest {
  readonly kind: string;
  readonly key: Digest;
  readonly inputs: unknown;
  readonly title: string;
  readonly signal?: AbortSignal;
  /** Called once when another process holds the key. */
  readonly onWait?: () => void;
  /** Fills the temp folder; what it returns becomes the record's `facts`. */
  readonly build: (folder: string) => Promise<unknown>;
}

// ---- ledger ---------------------------------------------------------------------------------------------------------

/**
 * A resource that outlives the code that makes it if that code is killed: written before the resource exists, removed after
 * it is gone. `prune` goes through what is left and whose owner is dead.
 */
export interface LedgerEntry {
  readonly id: string;
  readonly kind: string;
  /** The process that made it: a pid alone may be another process by now. */
  readonly owner: { readonly pid: number; readonly startTime: string };
  readonly resource: Readonly<Record<string, string | number>>;
}

export interface Ledger {
  /** Records what is about to be created; dispose after it is gone. */
  enter(kind: string, resource: LedgerEntry['resource']): Promise<AsyncDisposable & { readonly entry: LedgerEntry }>;
  /** All entries that can be read, whoever made them. */
  entries(): Promise<readonly LedgerEntry[]>;
  /** Entries whose owner no longer runs. */
  orphans(): Promise<readonly LedgerEntry[]>;
  /** Files beside the entries that are none, each a `bad-ledger-entry`: what they name is not known. */
  unreadable(): Promise<readonly KvciError[]>;
  forget(entry: LedgerEntry): Promise<void>;
}

// ---- container engine -----------------------------------------------------------------------------------------------

export interface EngineInfo {
  readonly name: 'docker' | 'podman';
  readonly version: string;
  readonly rootless: boolean;
  /** How the engine was found, for people: `DOCKER_HOST`, `rootful socket`, `started by kvci`. */
  readonly origin: string;
  readonly architecture: string;
}

export interface BuildRequest {
  /** A tar of the build context, the Containerfile in it. */
  readonly context: Readable;
  readonly containerfile: string;
  readonly tag: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  /** Platform such as `linux/amd64`. */
  readonly platform: string;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
}

export interface ContainerEngine extends AsyncDisposable {
  info(): Promise<EngineInfo>;
  /** @throws KvciError `image-build-failed` naming the instruction, `engine-lost` */
  build(request: BuildRequest): Promise<void>;
  /** Makes an image of one layer from a root file system tar. */
  importRoot(tar: Readable, tag: string, signal: AbortSignal): Promise<void>;
  /** The image as a tar that `docker load` reads. */
  save(tag: string, signal: AbortSignal): Promise<Readable>;
  load(archive: Readable, signal: AbortSignal): Promise<void>;
  hasImage(tag: string): Promise<boolean>;
  /** What the engine tells an image's content by, whatever its name; undefined for one that it does not have. */
  imageId(tag: string): Promise<string | undefined>;
  /** The names of all its images, each with its tag. */
  images(): Promise<readonly string[]>;
  pull(ref: string, signal: AbortSignal, onLine: (line: string) => void): Promise<void>;
  remove(tag: string): Promise<void>;
}

// ---- what a room asks of the host -----------------------------------------------------------------------------------

/** One thing a room needs of the host; `doctor` shows all, `--setup` mends those of the command at hand. */
export interface HostCheck {
  readonly id: string;
  readonly title: string;
  /** Undefined when all is well. */
  run(): Promise<HostProblem | undefined>;
  /** What was found, for people, where that is worth a line: `docker 28.1.1 (DOCKER_HOST)`. Asked only when all is well. */
  found?(): Promise<string>;
}

export interface HostProblem {
  readonly message: string;
  /** `error`: some command cannot work; `warning`: slower or less. */
  readonly level: 'error' | 'warning';
  /** Host packages that mend it, by package manager. */
  readonly packages?: { readonly apt: readonly string[]; readonly dnf: readonly string[] };
  /** Commands that root runs once to mend it, where packages alone do not. */
  readonly commands?: readonly (readonly [string, ...string[]])[];
  readonly error?: KvciError;
}
