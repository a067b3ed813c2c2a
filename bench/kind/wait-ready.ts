import { readFile } from 'node:fs/promises';

import { probe, isProbe } from '../../src/cluster/steps/probe.ts';
import { nodesNotReady, notReady } from '../../src/cluster/steps/ready.ts';
import { kubernetesClient } from '../../src/host/adapters/kubernetes-client.ts';

/*
 * The wait with which `kvci up` ends, for a cluster that somebody else has made: all nodes Ready, and everything Ready. Says when
 * each was seen, in milliseconds since the epoch. `node bench/kind/wait-ready.ts KUBECONFIG PAUSE-IMAGE NODE...`
 */

const [, , kubeconfig = '', image = '', ...names] = process.argv;
const api = kubernetesClient(await readFile(kubeconfig, 'utf8'));
const signal = AbortSignal.timeout(10 * 60_000);
const request = { image, nodes: names.length, everySeconds: 1, families: ['ipv4', 'ipv6'], userland: ['/usr', '/lib', '/lib64'] } as const;
for (const object of probe(request)) await api.apply(object, signal);
let nodesReady: number | undefined;
await api.until((view) => {
  if (nodesReady === undefined && nodesNotReady(view, names).length === 0) nodesReady = Date.now();
  const probes = view.pods.filter((pod) => isProbe(pod) && pod.ready);
  return notReady(view, names).length === 0 && probes.length === names.length;
}, signal);
process.stdout.write(JSON.stringify({ nodesReady, ready: Date.now() }));
process.exit(0);
