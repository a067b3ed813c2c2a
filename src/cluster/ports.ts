import type { Digest } from '../core/digest.ts';
import type { RunContext } from '../core/plan.ts';
import type { Secret } from '../core/secrets.ts';
import type { EngineChoice } from '../host/engine/discovery.ts';
import type { EngineAddress } from '../host/engine/endpoint.ts';
import type { KubernetesApi } from '../host/kubernetes.ts';
import type { RunRecords } from '../host/run-records.ts';
import type { Directories, Downloads, Locks } from '../host/types.ts';
import type { LocalRegistry } from '../machine/net/registry.ts';
import type { MachineProvider, MachinesSpec } from '../machine/types.ts';
import type { SandboxKind } from '../sandbox/types.ts';
import type { KvmAnswer } from './choose-provider.ts';
import type { ClusterStates } from './state.ts';

/** A node image of kvci's store. */
export interface NodeImage {
  readonly digest: Digest;
  /** As people know it: a tag, else the digest. */
  readonly name: string;
  /** Without a leading `v`. */
  readonly kubernetes: string;
}

/** What clusters need of the world; `wiring.ts` provides it, each part made when it is first asked for. */
export interface ClusterPorts {
  readonly states: ClusterStates;
  readonly locks: Locks;
  /** What is shown is masked with them. */
  readonly secrets: Set<Secret>;
  readonly directories: Directories;
  readonly records: RunRecords;
  downloads(): Promise<Downloads>;
  /**
   * The engine that nodes are to be in; undefined for kvci's own: where none runs, or where the one that nobody named may not start
   * nodes, or not such that reach the registry.
   *
   * @param nodes what they are to reach
   * @throws KvciError `engine-unreachable`, `engine-missing`, `engine-elsewhere`, `engine-open`, `engine-unprivileged`,
   *   `not-reachable-from-nodes` for one that somebody named
   */
  engine(choice: EngineChoice, nodes: { readonly registry: boolean }, run: RunContext): Promise<EngineAddress | undefined>;
  /** @param engine that the nodes are in, as the state has it */
  provider(name: MachineProvider['name'], engine: EngineAddress | undefined, run: RunContext): Promise<MachineProvider>;
  /**
   * Starts the ssh again that leads to a cluster in an engine of another host, where it has ended.
   *
   * @throws KvciError `forward-failed`, `port-taken`, `bad-state-file`
   */
  leadAgain(cluster: Pick<MachinesSpec, 'cluster' | 'run'>, signal: AbortSignal): Promise<void>;
  /** The registry that clusters of this user may have beside them. */
  registry(): Promise<LocalRegistry>;
  /** Loads what {@link api} takes, a quarter of a second's work, ahead of its use. */
  loadApi(): Promise<void>;
  /** @param kubeconfig its text */
  api(kubeconfig: string): Promise<KubernetesApi>;
  /** Bytes of memory that new processes can have. */
  memoryAvailable(): Promise<number>;
  /**
   * Whether virtual machines would have KVM here. Where nobody knows yet, a machine of the image's disk is tried.
   *
   * @param image its digest, built first if it is not there
   */
  kvm(image: () => Promise<Digest>, run: RunContext): Promise<KvmAnswer>;
  /**
   * The engine of this host that a sandbox of that kind is to be in; undefined for one of namespaces.
   *
   * @throws KvciError `no-engine`, `engine-unreachable`, `engine-missing`, `engine-elsewhere`
   */
  sandboxEngine(kind: SandboxKind, choice: EngineChoice): Promise<EngineAddress | undefined>;
  /** How much of a moment, which it takes, somebody waits for a processor of this host, from 0 to 1. */
  cpuPressure(run: RunContext): Promise<number>;
}
