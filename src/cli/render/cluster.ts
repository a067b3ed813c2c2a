import type { ClusterStatus, UnreadableCluster } from '../../cluster/clusters.ts';
import { countNodes } from '../../cluster/count-nodes.ts';
import { hostPort } from '../../cluster/addresses.ts';
import type { ExposedPort } from '../../cluster/exposed.ts';
import type { NodeLog } from '../../cluster/logs.ts';
import { REGISTRY_HOST } from '../../cluster/registry-options.ts';
import type { ClusterState } from '../../cluster/state.ts';
import { formatDuration } from '../progress/format.ts';
import type { NodeOutput } from '../services.ts';
import { facts, table } from './table.ts';

/** A cluster as scripts see it: stable, and without what only kvci needs. */
export function clusterDocument(state: ClusterState): object {
  const { name, phase, createdAt, provider, image, kubernetes, families, api, registryPort, nodesReadyMs, readyMs, steps } = state;
  return {
    name,
    phase,
    createdAt,
    provider,
    image,
    kubernetes,
    families,
    nodes: nodeDocuments(state),
    ...(api === undefined ? {} : { api }),
    ...(registryPort === undefined ? {} : { registry: { push: `localhost:${registryPort}`, pull: REGISTRY_HOST } }),
    ...(nodesReadyMs === undefined ? {} : { nodesReadyMs }),
    ...(readyMs === undefined ? {} : { readyMs }),
    steps,
  };
}

function nodeDocuments({ nodes }: Pick<ClusterState, 'nodes'>) {
  return nodes.map(({ name, role, addresses, labels }) => ({ name, role, addresses: addresses ?? {}, labels }));
}

export function formatUp(state: ClusterState, reused: boolean, kubeconfig: string): string {
  const { name, nodesReadyMs, readyMs } = state;
  const times = [
    ...(nodesReadyMs === undefined ? [] : [`nodes Ready after ${formatDuration(nodesReadyMs)}`]),
    ...(readyMs === undefined ? [] : [`everything after ${formatDuration(readyMs)}`]),
  ];
  return facts([
    ['Cluster', `${name}: Kubernetes ${state.kubernetes}, ${countNodes(state.nodes)}, ${state.families.join(' and ')}`],
    ['Ready', reused ? 'it was already: nothing was changed' : times.join(', ')],
    ...(state.registryPort === undefined
      ? []
      : [['Registry', `push to localhost:${state.registryPort}, pull as ${REGISTRY_HOST}`] as const]),
    ['Kubeconfig', kubeconfig],
    ['Try', `kubectl --kubeconfig ${kubeconfig} get nodes`],
  ]);
}

type Listed = ClusterStatus | UnreadableCluster;

export function listDocument(clusters: readonly Listed[]): object {
  return { clusters: clusters.map((each) => ('state' in each ? { ...clusterDocument(each.state), condition: each.condition } : each)) };
}

export function formatList(clusters: readonly Listed[]): string {
  if (clusters.length === 0) return 'There is no cluster; make one with "kvci up".';
  const rows = clusters.map((each) => {
    if (!('state' in each)) return [each.name, each.condition];
    const { name, kubernetes, nodes, provider, createdAt } = each.state;
    return [name, each.condition, kubernetes, countNodes(nodes), provider, createdAt.slice(0, 16).replace('T', ' ')];
  });
  const unreadable = clusters.flatMap((each) => ('state' in each ? [] : each.problems));
  return [
    table(['NAME', 'CONDITION', 'KUBERNETES', 'NODES', 'PROVIDER', 'CREATED'], rows),
    ...(unreadable.length === 0 ? [] : ['', ...unreadable]),
  ].join('\n');
}

/** What is known of a node: `stopped` with its cluster, `unknown` where the API does not tell of it. */
function nodeCondition({ condition, view }: ClusterStatus, name: string): 'Ready' | 'NotReady' | 'stopped' | 'unknown' {
  const node = view?.nodes.find((candidate) => candidate.name === name);
  if (node !== undefined) return node.ready ? 'Ready' : 'NotReady';
  return condition === 'stopped' ? 'stopped' : 'unknown';
}

/** A cluster with how it and its nodes are. */
export function statusDocument(status: ClusterStatus): object {
  const { state, condition, problems, view } = status;
  const nodes = nodeDocuments(state).map((node) => ({ ...node, condition: nodeCondition(status, node.name) }));
  return { ...clusterDocument(state), nodes, condition, problems, pods: view?.pods ?? [] };
}

export function formatStatus(status: ClusterStatus): string {
  const { state, condition, problems } = status;
  const nodes = state.nodes.map(({ name, role, addresses }) => [
    name,
    role,
    nodeCondition(status, name),
    [addresses?.ipv4, addresses?.ipv6].filter(Boolean).join(', '),
  ]);
  const steps = state.steps.map(({ title, node, status, ms }) => [title, node ?? '', status, ms === undefined ? '' : formatDuration(ms)]);
  return [
    facts([
      ['Cluster', `${state.name}: ${condition}`],
      ['Kubernetes', state.kubernetes],
      ['Image', state.image.name],
      ...(state.api === undefined ? [] : [['API', `https://${state.api.host}:${state.api.port}`] as const]),
      ...(state.nodesReadyMs === undefined ? [] : [['Nodes Ready', `after ${formatDuration(state.nodesReadyMs)}`] as const]),
      ...(state.readyMs === undefined ? [] : [['Ready', `after ${formatDuration(state.readyMs)}`] as const]),
    ]),
    '',
    table(['NODE', 'ROLE', 'STATE', 'ADDRESSES'], nodes),
    '',
    table(['STEP', 'NODE', 'STATE', 'TIME'], steps),
    ...(problems.length === 0 ? [] : ['', 'Not Ready:', ...problems.map((problem) => `  ${problem}`)]),
  ].join('\n');
}

/** Of one node as it is; of several each line with its node. */
export function formatLogs(logs: readonly NodeLog[]): string {
  if (logs.length === 1) return logs[0]?.text ?? '';
  return logs
    .flatMap(({ node, text }) =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => `${node}: ${line}`),
    )
    .join('\n');
}

export function formatPorts(ports: readonly ExposedPort[]): string {
  if (ports.length === 0) return 'Nothing on this host leads into the cluster yet.';
  return table(
    ['NAME', 'THIS HOST', 'LEADS TO'],
    ports.map(({ name, host, port, targets }) => [
      name,
      hostPort(host, port),
      name === 'registry' ? REGISTRY_HOST : targets.map((target) => `${target.node} (${hostPort(target.address, target.port)})`).join(', '),
    ]),
  );
}

export function formatOutputs(outputs: readonly NodeOutput[]): string {
  return outputs
    .flatMap(({ node, exitCode, stdout, stderr }) => [
      ...`${stdout}${stderr}`
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => `${node}: ${line}`),
      ...(exitCode === 0 ? [] : [`${node}: exit code ${exitCode}`]),
    ])
    .join('\n');
}
