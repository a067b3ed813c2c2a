import { isProbe, type ProbeRequest, probe } from '../../src/cluster/steps/probe.ts';
import { nodesNotReady, notReady } from '../../src/cluster/steps/ready.ts';
import { kubernetesClient } from '../../src/host/adapters/kubernetes-client.ts';

/** Milliseconds since the epoch. */
export interface ReadyInstants {
  readonly nodesReady: number;
  readonly ready: number;
}

/**
 * The wait with which `kvci up` ends, for a cluster that somebody else has made: all nodes Ready, and everything Ready.
 *
 * @param kubeconfig its text @param image a pause image that every node has
 */
export async function untilReady(
  kubeconfig: string,
  { image, everySeconds }: Pick<ProbeRequest, 'image' | 'everySeconds'>,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ReadyInstants> {
  const api = kubernetesClient(kubeconfig);
  const request: ProbeRequest = {
    image,
    nodes: names.length,
    everySeconds,
    families: ['ipv4', 'ipv6'],
    userland: ['/usr', '/lib', '/lib64'],
  };
  for (const object of probe(request)) await api.apply(object, signal);
  let nodesReady: number | undefined;
  await api.until((view) => {
    if (nodesReady === undefined && nodesNotReady(view, names).length === 0) nodesReady = Date.now();
    const probes = view.pods.filter((pod) => isProbe(pod) && pod.ready);
    return notReady(view, names).length === 0 && probes.length === names.length;
  }, signal);
  const ready = Date.now();
  return { nodesReady: nodesReady ?? ready, ready };
}
