/** An object as manifests have it. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

export interface ObservedNode {
  readonly name: string;
  readonly ready: boolean;
  /** Why it is not Ready, in Kubernetes' words. */
  readonly message: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly version: string;
}

export interface ObservedPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly ready: boolean;
  /** It ran to its end as it should: not Ready, and yet no problem. */
  readonly done: boolean;
  /** Why it is not Ready: a container's reason, else a condition's message, else the phase. */
  readonly message: string;
  readonly restarts: number;
  /** Kind of what made it and keeps it: `ReplicaSet`, `DaemonSet`, `Node` for a static pod; empty where nothing does. */
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Nodes and pods of all namespaces at one instant. */
export interface ClusterView {
  readonly nodes: readonly ObservedNode[];
  readonly pods: readonly ObservedPod[];
}

/** The API of a cluster. Errors are KvciErrors: `api-unreachable`, `api-refused`, `cancelled`. */
export interface KubernetesApi {
  /** Server-side apply: makes or changes what the object says and leaves the rest. */
  apply(object: KubernetesObject, signal: AbortSignal): Promise<void>;
  /** Makes a ConfigMap, or replaces it: a write that costs the API server little. */
  putConfigMap(
    map: { readonly namespace: string; readonly name: string },
    data: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void>;
  /** Merge patch: changes what the object says, whoever else says so, and takes nothing else away. */
  merge(object: KubernetesObject, signal: AbortSignal): Promise<void>;
  /** What is gone is gone. */
  remove(object: Pick<KubernetesObject, 'apiVersion' | 'kind' | 'metadata'>, signal: AbortSignal): Promise<void>;
  view(signal: AbortSignal): Promise<ClusterView>;
  /** Asks a pod to end in order; false while a disruption budget of its owner's forbids it. One that is gone is gone. */
  evict(pod: Pick<ObservedPod, 'namespace' | 'name'>, signal: AbortSignal): Promise<boolean>;
  /**
   * Whether a node's kubelet answers the API server now: what the API says of a node that has died is right only forty seconds
   * later.
   */
  kubeletAnswers(node: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Watches nodes and pods and answers with the first view that `wanted` accepts. `seen` is called with every view.
   *
   * @throws KvciError `cancelled` with what the signal was aborted with
   */
  until(wanted: (view: ClusterView) => boolean, signal: AbortSignal, seen?: (view: ClusterView) => void): Promise<ClusterView>;
  /** Watches a ConfigMap until `wanted` accepts its data. @throws as {@link until} */
  untilConfigMap(
    map: { readonly namespace: string; readonly name: string },
    wanted: (data: Readonly<Record<string, string>>) => boolean,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Watches the leases by which kubelets say that they live until `wanted` accepts when each was renewed last, in milliseconds since
   * the epoch by the clock of its node. @throws as {@link until}
   */
  untilNodeLeases(wanted: (renewed: ReadonlyMap<string, number>) => boolean, signal: AbortSignal): Promise<void>;
  podLog(pod: Pick<ObservedPod, 'namespace' | 'name'>, lines: number, signal: AbortSignal): Promise<string>;
  events(signal: AbortSignal): Promise<readonly string[]>;
}
