import type { EngineInfo } from '../types.ts';
import type { Labels } from './containers.ts';
import type { JobBind } from './jobs.ts';

/** A container with few rights whose first process learns when nobody holds it any longer. */
export interface HeldRequest {
  readonly name: string;
  readonly hostname: string;
  readonly image: string;
  readonly command: readonly [string, ...string[]];
  readonly labels: Labels;
  /** The only ones that anything in it can ever have: `NET_ADMIN`. */
  readonly capabilities: readonly string[];
  /** Devices of the engine's host; they are called the same inside. */
  readonly devices: readonly string[];
  readonly binds: readonly JobBind[];
  /** Folders in memory: options of tmpfs(5) by path inside. */
  readonly tmpfs: Readonly<Record<string, string>>;
  /** `none` is loopback only, `bridge` the engine's own network, which leads outside. */
  readonly network: 'none' | 'bridge' | 'host';
  /** Settings of the kernel for its network, as sysctl(8) names them. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Id of a container that it is to end with: it is among its processes, and sees them. */
  readonly among?: string;
  readonly onLine: (line: string, stream: 'stdout' | 'stderr') => void;
}

/** Lets go of when the process that holds it ends, however it ends: its first process reads the end of its input then. */
export interface HeldContainer {
  readonly id: string;
  /** Resolves when it has ended, or its engine has hung up. */
  readonly ended: Promise<void>;
  /** Lets go: its first process reads the end of its input. */
  hangUp(): void;
}

/** Containers that are held. All errors are KvciErrors: `engine-lost`, `engine-request-failed`, `cancelled`. */
export interface HeldContainers {
  readonly info: EngineInfo;
  /** Creates and starts one; the engine removes it when it ends. One that cannot be started is removed. */
  start(request: HeldRequest, signal: AbortSignal): Promise<HeldContainer>;
}
