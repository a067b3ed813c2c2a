import type { ObservedNode, ObservedPod } from './kubernetes.ts';

/** What is read of a Node object; the client's own type fits. */
export interface NodeLike {
  readonly metadata?: { readonly name?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo?: { readonly kubeletVersion: string };
  };
}

/** What is read of a Pod object. */
export interface PodLike {
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly kind: string; readonly controller?: boolean }[];
  };
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
    readonly containerStatuses?: readonly ContainerStatusLike[];
    readonly initContainerStatuses?: readonly ContainerStatusLike[];
  };
}

interface ContainerStatusLike {
  readonly restartCount: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly reason?: string; readonly message?: string };
  };
}

export function observeNode({ metadata, status }: NodeLike): ObservedNode {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return {
    name: metadata?.name ?? '',
    ready: ready?.status === 'True',
    message: ready?.message ?? 'kubelet has not reported yet',
    labels: metadata?.labels ?? {},
    addresses: (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
    version: status?.nodeInfo?.kubeletVersion ?? '',
  };
}

export function observePod({ metadata, spec, status }: PodLike): ObservedPod {
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const stuck = containers.map(({ state }) => state?.waiting ?? state?.terminated).find((state) => state?.reason !== undefined);
  const unmet = status?.conditions?.find((condition) => condition.status !== 'True' && condition.message !== undefined);
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    node: spec?.nodeName ?? '',
    ready: status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false,
    done: status?.phase === 'Succeeded',
    message: [stuck?.reason, stuck?.message ?? unmet?.message ?? status?.message ?? status?.phase].filter(Boolean).join(': '),
    restarts: containers.reduce((sum, { restartCount }) => sum + restartCount, 0),
    owner: metadata?.ownerReferences?.find(({ controller }) => controller === true)?.kind ?? '',
    labels: metadata?.labels ?? {},
  };
}
