import type { Digest } from '../../core/digest.ts';
import type { Containers, Labels } from '../../host/engine/containers.ts';
import type { ForwardTarget, HostPort, MachineNetwork, MachinesSpec, NodeAddresses } from '../types.ts';

/** An engine as container nodes need it: kvci's own, or one of the host. */
export interface NodeHost extends AsyncDisposable {
  readonly containers: Containers;
  /** Everything in the engine with a label of kvci is this user's: what an earlier cluster of a name left may be removed. */
  readonly own: boolean;
  /** What all that is made for nodes carries beside the labels of its cluster. Asked only when something is about to be made. */
  labels(): Promise<Labels>;
  /** What the engine calls an image of kvci's store. */
  imageName(image: Digest): string;
  hasImage(image: Digest): Promise<boolean>;
  bringImage(image: Digest, onLine: (line: string) => void, signal: AbortSignal): Promise<void>;
  /** Ranges that no network of nodes may overlap with, beside those of the engine's networks. */
  takenRanges(): Promise<readonly string[]>;
  /** The address of the engine's host at which nodes publish what is to be reached; undefined where they are reached without. */
  readonly publishAt: string | undefined;
  /** Folders that nodes see, read-only. */
  readonly binds: readonly { readonly host: string; readonly inside: string }[];
  /** Whether containers can be kept to a number of processors and bytes of memory. */
  readonly limits: boolean;
  forwards(spec: MachinesSpec): Forwards;
  /** Ends what the engine still runs for containers that have been removed. */
  sweep(ids: readonly string[]): Promise<void>;
}

/** The ways into the network of a cluster that are no node's own. */
export interface Forwards {
  balance(
    network: MachineNetwork,
    port: number,
    targets: readonly ForwardTarget[],
    signal: AbortSignal,
    hostPort?: number,
  ): Promise<NodeAddresses>;
  /** As Machines has it. @throws KvciError `not-reachable-from-nodes` */
  reach(network: MachineNetwork, port: number, hostPort: number, signal: AbortSignal): Promise<NodeAddresses>;
  forward(name: string, targets: readonly ForwardTarget[], signal: AbortSignal, wanted?: number): Promise<HostPort>;
  /** As Machines has it. */
  rest(): Promise<void>;
  remove(): Promise<void>;
}
