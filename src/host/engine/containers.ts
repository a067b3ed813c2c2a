import type { Readable, Writable } from 'node:stream';

import type { EngineInfo } from '../types.ts';

/** Labels by name; what is made carries them and is found again by them, never by its name. */
export type Labels = Readonly<Record<string, string>>;

export interface ContainerRequest {
  readonly name: string;
  readonly hostname: string;
  readonly image: string;
  readonly labels: Labels;
  readonly env: Readonly<Record<string, string>>;
  /** Undefined keeps the image's own. */
  readonly command?: readonly string[];
  /** All capabilities and devices, no seccomp, no AppArmor, a cgroup namespace of its own, a terminal for its console. */
  readonly privileged: boolean;
  /** Name of a network, and the addresses wanted in it. */
  readonly network: { readonly name: string; readonly ipv4?: string; readonly ipv6?: string };
  readonly tmpfs: readonly string[];
  /** Folders of the engine's host, read-only, and volumes by name, writable, by path inside. A new volume gets what the image has there. */
  readonly binds: readonly { readonly host: string; readonly inside: string }[];
  readonly volumes: readonly { readonly name: string; readonly inside: string }[];
  /** TCP ports inside that ports of the engine's host lead to, at its 127.0.0.1 or another address of it. */
  readonly publish: readonly { readonly inside: number; readonly host: number; readonly address?: string }[];
  readonly cpus?: number;
  readonly memory?: number;
}

export interface ContainerInfo {
  readonly id: string;
  readonly name: string;
  readonly labels: Labels;
  readonly running: boolean;
  readonly exitCode?: number;
  readonly addresses: { readonly ipv4?: string; readonly ipv6?: string };
  /** Host port by port inside. */
  readonly published: ReadonlyMap<number, number>;
}

export interface ExecRequest {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly terminal?: { readonly columns: number; readonly rows: number };
  /** Given the function that changes the terminal's size, once the command runs. */
  readonly onStart?: (resize: (size: { readonly columns: number; readonly rows: number }) => Promise<void>) => void;
  readonly signal?: AbortSignal;
}

export interface ContainerExec extends ExecRequest {
  /** Words before the command, and before what ends it: a program that changes how both run. */
  readonly through?: readonly string[];
}

/** Containers, networks and volumes of an engine. All errors are KvciErrors: `engine-lost`, `engine-refused`, `cancelled`. */
export interface Containers {
  readonly info: EngineInfo;
  /** @throws KvciError `name-taken` */
  create(request: ContainerRequest, signal: AbortSignal): Promise<string>;
  /** @throws KvciError `port-taken` when somebody listens at a port of the host that it publishes */
  start(id: string, signal: AbortSignal): Promise<void>;
  /** Asks it to stop by its stop signal and kills it after so many seconds; a stopped one stays as it is. */
  stop(id: string, seconds: number): Promise<void>;
  /** By force, with its anonymous volumes; one that is gone is gone. */
  remove(id: string): Promise<void>;
  list(labels: Labels): Promise<readonly ContainerInfo[]>;
  /** Runs a command inside and answers its exit code. @throws KvciError `container-stopped` */
  exec(id: string, request: ContainerExec): Promise<number>;
  /** All that its console showed. */
  logs(id: string): Promise<string>;
  /** @throws KvciError `network-taken` when a range overlaps with another network, `name-taken` */
  createNetwork(request: { readonly name: string; readonly labels: Labels; readonly ipv4?: string; readonly ipv6?: string }): Promise<void>;
  networks(labels: Labels): Promise<readonly { readonly name: string; readonly labels: Labels; readonly ranges: readonly string[] }[]>;
  removeNetwork(name: string): Promise<void>;
  createVolume(name: string, labels: Labels): Promise<void>;
  volumes(labels: Labels): Promise<readonly { readonly name: string; readonly labels: Labels }[]>;
  removeVolume(name: string): Promise<void>;
}
