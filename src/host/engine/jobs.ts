import type { EngineInfo } from '../types.ts';
import type { Labels } from './containers.ts';

/** A container that does one thing and ends. */
export interface JobRequest {
  /** Of the container; whoever was killed in between finds it again by that. */
  readonly name: string;
  readonly image: string;
  /** Instead of the image's own. */
  readonly entrypoint?: readonly [string, ...string[]];
  readonly command: readonly string[];
  readonly labels: Labels;
  readonly privileged: boolean;
  /** As `--security-opt` takes them: `label=type:unconfined_t`. */
  readonly security: readonly string[];
  /** Files and folders of the engine's host by path inside. */
  readonly binds: readonly JobBind[];
  /** `none` is loopback only; `engine` is what the engine gives a container of which nothing else is said. */
  readonly network: 'engine' | 'none';
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
}

export interface JobBind {
  readonly host: string;
  readonly inside: string;
  readonly writable: boolean;
}

export interface JobOutcome {
  readonly exitCode: number;
  /** The kernel ended it because memory ran out. */
  readonly outOfMemory: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where an engine keeps images. */
export interface LayerStorage {
  /** `overlay`, `vfs`, `btrfs`, `overlay2`... */
  readonly driver: string;
  /** Folder of the engine's host. */
  readonly root: string;
}

export interface EngineImage {
  /** Digest of its configuration, without `sha256:` in some engines. */
  readonly id: string;
  /** `NAME@sha256:...`, for each name that it was pulled or built under. */
  readonly digests: readonly string[];
  readonly architecture: string;
  /** Bytes, unpacked. */
  readonly size: number;
}

/** Containers of an engine that do one thing each. All errors are KvciErrors: `engine-lost`, `engine-request-failed`, `cancelled`. */
export interface Jobs {
  readonly info: EngineInfo;
  storage(): Promise<LayerStorage>;
  /** Undefined where the engine has none of that name. */
  image(name: string): Promise<EngineImage | undefined>;
  /** Runs a container to its end and removes it with its volumes, also when cancelled. Every exit code is an answer. */
  run(request: JobRequest, signal: AbortSignal): Promise<JobOutcome>;
  /** Ends and removes the container of that name; one that is gone is gone. */
  remove(name: string): Promise<void>;
}
