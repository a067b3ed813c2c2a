import { KvciError } from '../../core/errors.ts';
import { parseCni } from '../options.ts';
import type { ClusterState } from '../state.ts';
import type { ClusterView, KubernetesApi, ObservedPod } from '../../host/kubernetes.ts';

/** How many last lines of a pod's log an error shows, and of how many pods. */
const LOG_LINES = 5;
const SHOWN_PODS = 3;

/** What keeps a cluster from being Ready, in words; empty when nothing does. */
export function notReady(view: ClusterView, nodes: readonly string[]): readonly string[] {
  return [
    ...nodesNotReady(view, nodes),
    ...view.pods
      .filter(isSystemPod)
      .filter(({ ready, done }) => !ready && !done)
      .map(({ namespace, name, node, message }) => `pod ${namespace}/${name}${node === '' ? '' : ` on ${node}`}: ${message}`),
  ];
}

/** What a cluster lacks to be what was asked for: without a pod network (`--cni none`) its nodes are members and cannot be Ready. */
export function missing({ nodes, options }: Pick<ClusterState, 'nodes' | 'options'>, view: ClusterView): readonly string[] {
  const names = nodes.map(({ name }) => name);
  if (parseCni(options.cni).kind !== 'none') return notReady(view, names);
  return names.filter((name) => !view.nodes.some((node) => node.name === name)).map((name) => `node ${name}: has not joined`);
}

export function nodesNotReady(view: ClusterView, nodes: readonly string[]): readonly string[] {
  return nodes.flatMap((name) => {
    const node = view.nodes.find((candidate) => candidate.name === name);
    if (node?.ready === true) return [];
    return [`node ${name}: ${node === undefined ? 'has not joined' : node.message}`];
  });
}

/** Pods of the users' own are theirs to wait for. */
function isSystemPod({ namespace }: ObservedPod): boolean {
  return namespace === 'kube-system';
}

/** Not Ready in time: what was seen last, with the last lines of the pods that are to blame. @param more what else is missing, in words */
export async function notReadyInTime(
  view: ClusterView | undefined,
  nodes: readonly string[],
  api: KubernetesApi,
  more: readonly string[] = [],
): Promise<KvciError> {
  if (view === undefined) return new KvciError('timedOut', 'not-ready', 'the API server did not answer in time');
  const logs = await lastLogs(
    view.pods.filter(({ ready, done, node }) => !ready && !done && node !== ''),
    api,
  );
  return new KvciError(
    'timedOut',
    'not-ready',
    ['the cluster is not Ready in time:', ...more, ...notReady(view, nodes), ...logs].join('\n  '),
    {
      hint: '"kvci status" shows how it goes on; "kvci up" waits again; "kvci logs --bundle FILE" collects everything.',
    },
  );
}

/** The last log lines of pods, the first few of them. */
export async function lastLogs(pods: readonly ObservedPod[], api: Pick<KubernetesApi, 'podLog'>): Promise<readonly string[]> {
  const logs = await Promise.all(
    pods.slice(0, SHOWN_PODS).map(async (pod) => {
      // A pod that never started has no log.
      const text = await api.podLog(pod, LOG_LINES, AbortSignal.timeout(LOG_MS)).catch(() => '');
      return text.trim() === ''
        ? []
        : [
            `last lines of ${pod.namespace}/${pod.name}:`,
            ...text
              .trimEnd()
              .split('\n')
              .map((line) => `  ${line}`),
          ];
    }),
  );
  return logs.flat();
}

/** For what only helps to understand. */
const LOG_MS = 5_000;
