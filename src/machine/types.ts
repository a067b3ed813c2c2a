import type { Duplex, Readable, Writable } from 'node:stream';

import type { Digest } from '../core/digest.ts';
import type { CommandRunner } from '../host/types.ts';
import type { SandboxKind } from '../sandbox/types.ts';
import type { MachineSnapshots } from './saved-machines.ts';
import type { Acceleration, VmOptions } from './vm-options.ts';

export type IpFamily = 'ipv4' | 'ipv6';

/** The addresses of a node in its cluster's network; which families there are is the cluster's choice. */
export interface NodeAddresses {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** A file to put on a node. */
export interface NodeFile {
  /** Absolute. */
  readonly path: string;
  readonly content: string;
  /** Permission bits; 0644 by default. */
  readonly mode?: number;
}

/** A terminal or pipes of whoever runs kvci. */
export interface AttachedStreams {
  readonly stdin?: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** When given, the command gets a terminal of that size, which follows `onResize`. */
  readonly terminal?: {
    readonly columns: number;
    readonly rows: number;
    /** Calls back for every later size. Answers what stops it. */
    onResize(listener: (size: { readonly columns: number; readonly rows: number }) => void): () => void;
  };
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A running node, container or VM: something one can run commands on. A step never knows which it talks to. */
export interface NodeHandle extends CommandRunner {
  readonly name: string;
  readonly addresses: NodeAddresses;
  /** Puts files on the node, each whole or not at all; folders above them are made. */
  write(files: readonly NodeFile[], signal?: AbortSignal): Promise<void>;
  /** Runs a command with the caller's streams. Answers its exit code. */
  attach(argv: readonly [string, ...string[]], streams: AttachedStreams): Promise<number>;
  /** Unpacks a tar below an absolute folder that is there. */
  unpack(tar: Readable, folder: string, signal?: AbortSignal): Promise<void>;
  /** The file or folder at an absolute path as a tar whose names start with its last part. */
  pack(path: string, signal?: AbortSignal): Promise<Readable>;
}

/** What a node is: a container, or a virtual machine. */
export const NODE_PROVIDERS = ['kind', 'vm'] as const;
export type NodeProvider = (typeof NODE_PROVIDERS)[number];

/** A port of this host's loopback, or of the host of the engine that nodes are in, and the machine's port that it leads to. */
export interface PublishedPort {
  readonly port: number;
  readonly hostPort: number;
}

/** What a provider is told of a node before it is there. */
export interface MachineSpec {
  readonly name: string;
  readonly addresses: NodeAddresses;
  /** Processors and bytes of memory; undefined: all that the host has. */
  readonly cpus?: number;
  readonly memory?: number;
  /** What only virtual machines take. */
  readonly vm?: VmOptions;
  /** What it is to be, where a provider has both. */
  readonly provider?: NodeProvider;
  /** What a forward is to lead to: engines of the host settle that when they make a container. */
  readonly publish?: readonly PublishedPort[];
}

/** A private network of a cluster. */
export interface MachineNetwork {
  /** CIDRs, one a family. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  /** Last part of the first node's addresses, less one; {@link FIRST_HOST} where it is missing. */
  readonly firstHost?: number;
}

/** What comes before is for the gateway and for whoever joins by hand. */
export const FIRST_HOST = 10;

/** What all machines of a cluster have in common; written to the cluster's state before anything is made of it. */
export interface MachinesSpec {
  readonly cluster: string;
  /** Random, of one life of a cluster: labels carry it, so that what an earlier cluster of that name left is told apart. */
  readonly run: string;
  /** Manifest digest of the node image in kvci's store. */
  readonly image: Digest;
  /** Of virtual machines; `auto` where it is missing. */
  readonly acceleration?: Acceleration;
  /** What virtual machines are in; namespaces where it is missing. */
  readonly sandbox?: SandboxKind;
  /** Socket of the engine of this host that the machines or their sandbox are in, where they are in one. */
  readonly engine?: string;
}

/**
 * How nodes come up side by side on this host: all at once, or one after the other; beside containers, which come up at once, those that
 * are virtual machines. An emulated control plane needs all processors until it serves; beside a second machine that boots it does not
 * get there.
 */
export type Schedule = 'together' | 'in-turn' | 'machines-in-turn';

export type MachineState = 'running' | 'stopped';

/** The console of a machine that runs. */
export interface MachineConsole {
  /** Where this host logs it, from its first line on. */
  readonly log: string;
  /** Both ways, until the machine ends. One at a time can have it. @throws KvciError `console-in-use` */
  readonly openConsole: () => Promise<Duplex>;
  /** Unix socket of this host at which its screen is seen by VNC, where it has one. */
  readonly vnc?: string;
}

/** An address that leads from this host to a port of a node: on loopback, or of the host of an engine that is reached by TCP. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where a port leads: connections are spread over all targets that answer. */
export interface ForwardTarget {
  readonly address: string;
  readonly port: number;
}

/**
 * The machines of one cluster. Every method finds what it made before, also in another process, and does only what is missing:
 * what was killed in the middle is done again.
 */
export interface Machines extends AsyncDisposable {
  /** Makes the network that nodes share and answers its ranges. `families` counts when it is made. */
  network(families: readonly IpFamily[], signal: AbortSignal): Promise<MachineNetwork>;
  /** How nodes are best brought up here. Asked once there is a network, before the first node starts. */
  schedule(signal: AbortSignal): Promise<Schedule>;
  /** Makes and starts a node, or starts one that is stopped; answers when commands can be run on it. */
  start(machine: MachineSpec, signal: AbortSignal): Promise<NodeHandle>;
  /** A running node. @param signal of whoever waits for it @throws KvciError `node-not-found`, `node-stopped`, `cancelled` */
  node(name: string, signal?: AbortSignal): Promise<NodeHandle>;
  /** All nodes there are, in order of name. */
  list(): Promise<readonly { readonly name: string; readonly state: MachineState }[]>;
  /** Shuts a node down in order, then by force. */
  stop(name: string, signal: AbortSignal): Promise<void>;
  /** Removes a node with all it holds. */
  remove(name: string): Promise<void>;
  /** What the node wrote to its console. */
  console(name: string): Promise<string>;
  /** The console of a running node, to type at. @throws KvciError `no-terminal` for nodes that have none, `node-not-found`, `node-stopped` */
  terminal(name: string): Promise<MachineConsole>;
  /**
   * An address of the cluster's network, the same for all nodes, that leads to whichever target answers; called again with other
   * targets it follows. Targets are TCP.
   *
   * @param hostPort where a forward to all of the targets is to be
   */
  balance(port: number, targets: readonly ForwardTarget[], signal: AbortSignal, hostPort?: number): Promise<NodeAddresses>;
  /**
   * An address of the cluster's network, the same for all nodes, whose port leads to one of this host's loopback; called again it
   * follows.
   *
   * @throws KvciError `not-reachable-from-nodes` where nodes are in an engine other than kvci's own
   */
  reach(port: number, hostPort: number, signal: AbortSignal): Promise<NodeAddresses>;
  /**
   * A free port of this host's loopback that leads to the targets, the same port when called again while it lives; of the engine's host
   * where nodes are in one that is reached by TCP.
   *
   * @param wanted the port that was chosen for it, or that it had before, taken where it can be had: whoever was told of it keeps it
   *   over a reboot
   */
  forward(name: string, targets: readonly ForwardTarget[], signal: AbortSignal, wanted?: number): Promise<HostPort>;
  /** Of machines that can be saved as they run. */
  readonly snapshots?: MachineSnapshots;
  /** Ends what runs beside nodes that are stopped; `balance` and `forward` start it again. */
  rest(): Promise<void>;
  /** Removes everything that carries the cluster's labels: nodes, volumes, forwards, network. Whatever is gone is gone. */
  destroy(): Promise<void>;
}

/** A way to have machines. Letting go of it lets go of what it holds of this host, never of machines. */
export interface MachineProvider extends AsyncDisposable {
  readonly name: NodeProvider | 'mixed';
  /** Brings the image to where machines start from; cheap when it is there. */
  prepare(image: Digest, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  hasImage(image: Digest): Promise<boolean>;
  /** Files of this host that virtual machines of an image are made of, made where they are missing. */
  filesOf?(image: Digest, signal: AbortSignal): Promise<readonly string[]>;
  machines(spec: MachinesSpec): Promise<Machines>;
}
