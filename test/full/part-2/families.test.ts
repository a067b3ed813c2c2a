import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import type { KubernetesApi } from '../../../src/host/kubernetes.ts';
import { type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { pauseImageOf, podOn } from '../../fixtures/own-program-pods.ts';

/* Dual stack is what test/e2e/cluster.test.ts brings up; here are the clusters of one family. */

const SOON_MS = 5 * 60_000;

interface Node {
  readonly addresses: Readonly<Record<string, string>>;
}

describe.each([
  { family: 'ipv4', number: 4, service: /^10\.\d+\.\d+\.\d+$/, listen: 'TCP4-LISTEN' },
  { family: 'ipv6', number: 6, service: /^fd10:96::/, listen: 'TCP6-LISTEN' },
])('a cluster of $family only', ({ family, number, service, listen }) => {
  const name = `kvci-${family}`;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let before: HostTraces;
  let api: KubernetesApi;

  const here = kvciIn(() => folder);
  const done = wellDone(here);
  const on = (node: string, ...argv: readonly string[]): Promise<Run> => here('ssh', node, '--cluster', name, '--', ...argv);

  beforeAll(async () => {
    folder = await temporaryFolder();
    const { digest } = await nodeImage('1.36');
    before = await hostTraces();
    const up = JSON.parse(
      await done('up', name, '--provider', 'kind', '--image', digest, '--nodes', '2', '--ip-family', family, '--output', 'json'),
    ) as {
      readonly nodes: readonly Node[];
    };
    expect(up.nodes.map(({ addresses }) => Object.keys(addresses))).toEqual([[family], [family]]);
    api = kubernetesClient(await done('kubeconfig', name));
  });

  afterAll(async () => {
    await here('down', name);
    await folder[Symbol.asyncDispose]();
  });

  it('has pods on different nodes that reach each other, by address, by service and by name', async () => {
    const signal = AbortSignal.timeout(SOON_MS);
    const pause = await pauseImageOf((...argv) => on('node01', ...argv));
    const serve = `exec /usr/bin/socat -U ${listen}:8080,fork,reuseaddr EXEC:"/usr/bin/echo hello"`;
    await api.apply(podOn('node02', 'server', pause, serve), signal);
    await api.apply(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'server', namespace: 'default' },
        spec: { selector: { app: 'server' }, ports: [{ port: 80, targetPort: 8080 }] },
      },
      signal,
    );
    await api.until(({ pods }) => pods.some((pod) => pod.name === 'server' && pod.ready), signal);
    const told = async (kind: string, path: string): Promise<string> => {
      const { stdout } = await on('node01', 'kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', 'get', kind, 'server', '-o', path);
      return stdout;
    };
    const [pod, virtual] = [await told('pod', 'jsonpath={.status.podIP}'), await told('service', 'jsonpath={.spec.clusterIP}')];
    expect(virtual).toMatch(service);
    const places = [`${bracketed(pod)}:8080`, `${bracketed(virtual)}:80`, 'server.default.svc.cluster.local:80'];
    const ask = places.map((place) => `[ "$(/usr/bin/socat -u TCP${number}:${place},connect-timeout=5 STDOUT)" = hello ]`);
    await api.apply(podOn('node01', 'client', pause, `until ${ask.join(' && ')}; do /usr/bin/sleep 0.2; done`), signal);
    await api.until(({ pods }) => pods.some((one) => one.name === 'client' && one.done), signal);
  });

  it('leaves nothing after down', async () => {
    await done('down', name);
    expect(await hostTraces()).toEqual(before);
  });
});

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
