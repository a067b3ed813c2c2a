import {
  ApiException,
  CoordinationV1Api,
  CoreV1Api,
  KubeConfig,
  type KubernetesListObject,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  V1ConfigMap,
  V1Eviction,
  type V1Lease,
  type V1Node,
  type V1Pod,
} from '@kubernetes/client-node';

import { cancelled, KvciError, messageOf } from '../../core/errors.ts';
import { observeNode, observePod } from '../kubernetes-view.ts';
import type { ClusterView, KubernetesApi, KubernetesObject } from '../kubernetes.ts';

/** Who owns the fields that kvci sets. */
const FIELD_MANAGER = 'kvci';

/** How long a watch that broke waits before it lists and watches anew. */
const RECONNECT_MS = 200;

/** Answers of an API server that is only just starting, or is too busy: the same request works a moment later. */
const PASSING_STATUS = new Set([429, 500, 503, 504]);

const RETRY_MS = 250;

/** What the API server has in memory, as Kubernetes' own informers list: what is newer comes by the watch. */
const CACHED = { resourceVersion: '0' };

/** The API of the cluster of a kubeconfig, through Kubernetes' own client. */
export function kubernetesClient(kubeconfig: string): KubernetesApi {
  const config = new KubeConfig();
  config.loadFromString(kubeconfig);
  const objects = KubernetesObjectApi.makeApiClient(config);
  const core = config.makeApiClient(CoreV1Api);
  const coordination = config.makeApiClient(CoordinationV1Api);

  const view = async (): Promise<ClusterView> => {
    const [nodes, pods] = await Promise.all([core.listNode(), core.listPodForAllNamespaces()]);
    return viewOf(nodes.items, pods.items);
  };

  return {
    apply: (object, signal) =>
      asked(`apply ${nameOf(object)}`, signal, () =>
        objects.patch(object, undefined, undefined, FIELD_MANAGER, true, PatchStrategy.ServerSideApply),
      ).then(() => undefined),
    putConfigMap: ({ namespace, name }, data, signal) =>
      asked(`write ConfigMap ${namespace}/${name}`, signal, async () => {
        const body = Object.assign(new V1ConfigMap(), { metadata: { namespace, name }, data: { ...data } });
        try {
          await core.createNamespacedConfigMap({ namespace, body });
        } catch (error) {
          if (!(error instanceof ApiException && error.code === 409)) throw error;
          await core.replaceNamespacedConfigMap({ namespace, name, body });
        }
      }),
    merge: (object, signal) =>
      asked(`change ${nameOf(object)}`, signal, () =>
        objects.patch(object, undefined, undefined, FIELD_MANAGER, undefined, PatchStrategy.MergePatch),
      ).then(() => undefined),
    remove: (object, signal) =>
      asked(`remove ${nameOf(object)}`, signal, async () => {
        try {
          await objects.delete(object, undefined, undefined, 0);
        } catch (error) {
          if (!(error instanceof ApiException && error.code === 404)) throw error;
        }
      }),
    evict: (pod, signal) =>
      asked(`evict ${pod.namespace}/${pod.name}`, signal, async () => {
        const { namespace, name } = pod;
        try {
          const body = Object.assign(new V1Eviction(), { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } });
          await core.createNamespacedPodEviction({ name, namespace, body });
          return true;
        } catch (error) {
          // "Too many requests" is the word for a budget here.
          if (error instanceof ApiException && error.code === 429) return false;
          if (error instanceof ApiException && error.code === 404) return true;
          throw error;
        }
      }),
    kubeletAnswers: async (name, signal) => {
      try {
        await abortable(core.connectGetNodeProxyWithPath({ name, path: 'healthz' }), signal);
        return true;
      } catch (error) {
        if (error instanceof ApiException || error instanceof KvciError || isConnection(error)) return false;
        throw error;
      }
    },
    view: (signal) => asked('list nodes and pods', signal, view),
    until: (wanted, signal, seen) => {
      const nodes = follow<V1Node>(config, '/api/v1/nodes', () => core.listNode(CACHED));
      const pods = follow<V1Pod>(config, '/api/v1/pods', () => core.listPodForAllNamespaces(CACHED));
      const found = (): ClusterView | undefined => {
        const seenNow = viewOf(nodes.items(), pods.items());
        seen?.(seenNow);
        return wanted(seenNow) ? seenNow : undefined;
      };
      return watchUntil([nodes, pods], found, signal);
    },
    untilConfigMap: async ({ namespace, name }, wanted, signal) => {
      const maps = follow<V1ConfigMap>(config, `/api/v1/namespaces/${namespace}/configmaps`, () =>
        core.listNamespacedConfigMap({ namespace, ...CACHED }),
      );
      const found = (): true | undefined => {
        const map = maps.items().find(({ metadata }) => metadata?.name === name);
        return map !== undefined && wanted(map.data ?? {}) ? true : undefined;
      };
      await watchUntil([maps], found, signal);
    },
    untilNodeLeases: async (wanted, signal) => {
      const leases = follow<V1Lease>(config, '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', () =>
        coordination.listNamespacedLease({ namespace: 'kube-node-lease', ...CACHED }),
      );
      const found = (): true | undefined => {
        const renewed = leases
          .items()
          .map(({ metadata, spec }) => [metadata?.name ?? '', new Date(spec?.renewTime ?? 0).getTime()] as const);
        return wanted(new Map(renewed)) ? true : undefined;
      };
      await watchUntil([leases], found, signal);
    },
    podLog: ({ namespace, name }, lines, signal) =>
      asked(`read the log of ${namespace}/${name}`, signal, () => core.readNamespacedPodLog({ namespace, name, tailLines: lines })),
    events: async (signal) => {
      const { items } = await asked('list events', signal, () => core.listEventForAllNamespaces());
      return items.map(
        ({ lastTimestamp, eventTime, type, reason, involvedObject, message }) =>
          `${timeText(lastTimestamp ?? eventTime)} ${type ?? ''} ${reason ?? ''} ${involvedObject.kind ?? ''} ${involvedObject.namespace ?? ''}/${involvedObject.name ?? ''}: ${message ?? ''}`,
      );
    },
  };
}

/** The library gives times with microseconds as text, whatever its types say. */
function timeText(time: Date | undefined): string {
  return time === undefined ? '' : new Date(time).toISOString();
}

/** Repeats a request that failed for a passing reason until the signal ends it. */
async function asked<T>(doing: string, signal: AbortSignal, request: () => Promise<T>): Promise<T> {
  for (;;) {
    if (signal.aborted) throw cancelled(signal);
    try {
      return await abortable(request(), signal);
    } catch (error) {
      if (error instanceof KvciError) throw error;
      if (error instanceof ApiException && !isPassing(error)) throw refused(doing, error);
      if (!(error instanceof ApiException) && !isConnection(error)) throw error;
      await abortable(new Promise((resolve) => setTimeout(resolve, RETRY_MS)), signal);
    }
  }
}

/**
 * An API server that starts over data that is there refuses everybody until it has read who may do what; a refusal for another
 * reason, such as a quota, is worded differently.
 */
function isPassing({ code, body }: ApiException<unknown>): boolean {
  return PASSING_STATUS.has(code) || (code === 403 && /forbidden: User .* cannot /.test(JSON.stringify(body)));
}

function refused(doing: string, error: ApiException<unknown>): KvciError {
  const body = typeof error.body === 'string' ? error.body : JSON.stringify(error.body);
  return new KvciError('failed', 'api-refused', `the API server refused to ${doing} (${error.code}): ${body.trim()}`, {
    facts: { status: error.code },
    cause: error,
  });
}

function isConnection(error: unknown): boolean {
  return /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|socket hang up|other side closed|fetch failed|terminated/i.test(
    `${messageOf(error)} ${error instanceof Error ? messageOf(error.cause) : ''}`,
  );
}

/** The library takes no signal: whoever is cancelled does not wait for its answer. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    // A signal that was aborted before says nothing more.
    if (signal.aborted) {
      promise.catch(() => undefined);
      reject(cancelled(signal));
      return;
    }
    const onAbort = (): void => {
      reject(cancelled(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}

/** Follows kinds and answers with what `found` first makes of them. */
async function watchUntil<T>(kinds: readonly Followed<unknown>[], found: () => T | undefined, signal: AbortSignal): Promise<T> {
  try {
    return await abortable(
      new Promise<T>((resolve, reject) => {
        const look = (): void => {
          // An exception in a callback of the library would be lost.
          try {
            if (!kinds.every((kind) => kind.listed())) return;
            const answer = found();
            if (answer !== undefined) resolve(answer);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        };
        for (const kind of kinds) kind.start(look);
      }),
      signal,
    );
  } finally {
    for (const kind of kinds) kind.stop();
  }
}

interface Followed<T> {
  start(changed: () => void): void;
  listed(): boolean;
  items(): readonly T[];
  stop(): void;
}

/** Lists and watches one kind, again and again where the connection breaks. */
function follow<T extends V1ConfigMap | V1Lease | V1Node | V1Pod>(
  config: KubeConfig,
  path: string,
  list: () => Promise<KubernetesListObject<T>>,
): Followed<T> {
  let listed = false;
  let stopped = false;
  let changed: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const informer = makeInformer<T>(config, path, async () => {
    const answer = await list();
    // The informer takes the answer after this has returned, one by one: less than all of it is no view.
    setImmediate(() => {
      listed = true;
      changed();
    });
    return answer;
  });
  const start = (): void => {
    if (!stopped) informer.start().catch(again);
  };
  const again = (): void => {
    if (!stopped) timer = setTimeout(start, RECONNECT_MS);
  };
  return {
    start: (listener) => {
      changed = listener;
      informer.on('change', listener);
      informer.on('delete', listener);
      informer.on('error', again);
      start();
    },
    listed: () => listed,
    items: () => informer.list(),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      void informer.stop();
    },
  };
}

function viewOf(nodes: readonly V1Node[], pods: readonly V1Pod[]): ClusterView {
  return { nodes: nodes.map(observeNode), pods: pods.map(observePod) };
}

function nameOf({ kind, metadata }: Pick<KubernetesObject, 'kind' | 'metadata'>): string {
  return `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
}
