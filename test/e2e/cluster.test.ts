import { readFile, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../src/host/adapters/kubernetes-client.ts';
import { undiciHttp } from '../../src/host/adapters/undici-http.ts';
import type { KubernetesApi } from '../../src/host/kubernetes.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { RegistryClient } from '../../src/oci/registry.ts';
import { pushImage } from '../../src/oci/registry-transfer.ts';
import { kvci, type Run, temporaryFolder } from '../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../fixtures/host-traces.ts';
import { kvciIn } from '../fixtures/kvci-calls.ts';
import { nodeImage } from '../fixtures/node-image.ts';
import { podOn } from '../fixtures/own-program-pods.ts';
import { podReachesPod } from '../fixtures/pod-traffic.ts';
import { smallImage } from '../fixtures/small-image.ts';

const NAME = 'kvci-e2e';
const NEVER = new AbortController().signal;

interface UpAnswer {
  readonly reused: boolean;
  readonly kubeconfig: string;
  readonly nodesReadyMs: number;
  readonly readyMs: number;
  readonly registry: { readonly push: string; readonly pull: string };
  readonly nodes: readonly { readonly name: string; readonly role: string; readonly addresses: { ipv4: string; ipv6: string } }[];
}

interface ErrorAnswer {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string };
}

function answer(run: Run): unknown {
  expect(run.code, run.stderr).toBe(0);
  return JSON.parse(run.stdout);
}

describe('kvci up', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let image: string;
  let before: HostTraces;
  let cluster: UpAnswer;
  let api: KubernetesApi;

  const here = kvciIn(() => folder);
  const up = (...more: readonly string[]): Promise<Run> =>
    here('up', NAME, '--provider', 'kind', '--image', image, '--nodes', '2', '--registry', '--output', 'json', ...more);

  beforeAll(async () => {
    folder = await temporaryFolder();
    image = (await nodeImage('1.36')).digest;
    before = await hostTraces();
    cluster = answer(await up()) as UpAnswer;
    api = kubernetesClient(await readFile(cluster.kubeconfig, 'utf8'));
  });

  afterAll(async () => {
    await here('down', NAME);
    await folder[Symbol.asyncDispose]();
  });

  it('ends with two Ready nodes, told with both instants', async () => {
    expect(cluster).toMatchObject({
      reused: false,
      nodes: [
        { name: 'node01', role: 'control-plane' },
        { name: 'node02', role: 'worker' },
      ],
    });
    expect(cluster.nodesReadyMs).toBeLessThanOrEqual(cluster.readyMs);
    const { nodes } = await api.view(NEVER);
    expect(nodes.map(({ name, ready }) => ({ name, ready }))).toEqual([
      { name: 'node01', ready: true },
      { name: 'node02', ready: true },
    ]);
    expect(nodes[1]?.labels).toHaveProperty(['node-role.kubernetes.io/worker']);
    expect(nodes[1]?.addresses).toEqual([cluster.nodes[1]?.addresses.ipv4, cluster.nodes[1]?.addresses.ipv6]);
  });

  it('gives a kubeconfig that only its owner reads, for an API on loopback that the CA vouches for', async () => {
    expect((await stat(cluster.kubeconfig)).mode & 0o777).toBe(0o600);
    const text = answer(await here('kubeconfig', NAME, '--output', 'json')) as { readonly kubeconfig: string };
    expect(text.kubeconfig).toMatch(/server: https:\/\/127\.0\.0\.1:\d+\n/);
    expect(text.kubeconfig).toContain('certificate-authority-data:');
    expect(text.kubeconfig).not.toContain('insecure');
  });

  it('has a default StorageClass and volumes on each node', async () => {
    const volumes = await here(
      'ssh',
      'node01',
      '--cluster',
      NAME,
      '--',
      'kubectl',
      '--kubeconfig',
      '/etc/kubernetes/admin.conf',
      'get',
      'pv',
      '-o',
      'name',
    );
    expect(volumes.stdout.trim().split('\n')).toHaveLength(20);
  });

  it('connects pods on different nodes by address, by service and by name, in both families', async () => {
    const on = (node: string, ...argv: readonly string[]): Promise<Run> => here('ssh', node, '--cluster', NAME, '--', ...argv);
    await podReachesPod({ api, on, families: ['ipv4', 'ipv6'], from: 'node01', to: 'node02' });
  });

  it('takes images without a registry, the second time at once', async () => {
    const name = 'example.org/greeter:loaded';
    const { archive } = await smallImage(folder.path, { name, greeting: 'loaded' });
    const load = async () =>
      answer(await here('load', archive, '--cluster', NAME, '--output', 'json')) as { readonly nodes: readonly object[] };
    const nodes = ['node01', 'node02'];
    expect((await load()).nodes).toMatchObject(nodes.map((node) => ({ node, loaded: [name], present: [] })));
    expect((await load()).nodes).toMatchObject(nodes.map((node) => ({ node, loaded: [], present: [name], sent: 0 })));
    await api.apply(podOn('node02', 'loaded', name, '[ "$(</greeting)" = loaded ]'), NEVER);
    await api.until(({ pods }) => pods.some((pod) => pod.name === 'loaded' && pod.done), AbortSignal.timeout(120_000));
  });

  it('pulls what was pushed to the registry beside it', async () => {
    const { push, pull } = cluster.registry;
    const { layout, image: pushed } = await smallImage(folder.path, { name: 'localhost/pushed:1', greeting: 'pushed' });
    const client = new RegistryClient({ http: undiciHttp({ offline: false }), credentials: () => Promise.resolve(undefined) });
    await pushImage(client, layout, pushed.descriptor, parseReference(`${push}/team/greeter:1`));
    await api.apply(podOn('node02', 'pulled', `${pull}/team/greeter:1`, '[ "$(</greeting)" = pushed ]', 'Always'), NEVER);
    await api.until(({ pods }) => pods.some((pod) => pod.name === 'pulled' && pod.done), AbortSignal.timeout(120_000));
  });

  it('is found Ready and left alone when it is asked for again', async () => {
    expect((answer(await up()) as UpAnswer).reused).toBe(true);
    const list = answer(await here('list', '--output', 'json')) as { readonly clusters: readonly object[] };
    expect(list.clusters).toMatchObject([{ name: NAME, condition: 'ready' }]);
  });

  it('says what differs when something else is asked for', async () => {
    const other = await kvci(['up', NAME, '--nodes', '3', '--output', 'json'], { cwd: folder.path });
    expect(other.code).toBe(5);
    const { error } = JSON.parse(other.stdout) as ErrorAnswer;
    expect(error).toMatchObject({ code: 'cluster-differs', hint: expect.stringContaining(`kvci down ${NAME}`) as string });
    expect(error.message).toContain('--nodes: it has 2, you ask for 3');
  });

  it('hands exit codes and output through', async () => {
    expect(await here('ssh', 'node02', '--cluster', NAME, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toMatchObject({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    const everywhere = await here('exec', '--cluster', NAME, '--output', 'json', '--', 'hostname');
    expect((answer(everywhere) as { readonly nodes: readonly { readonly stdout: string }[] }).nodes.map(({ stdout }) => stdout)).toEqual([
      'node01\n',
      'node02\n',
    ]);
  });

  it('leaves nothing on the host after down', async () => {
    const down = await here('down', NAME);
    expect(down.code, down.stderr).toBe(0);
    expect(await hostTraces()).toEqual(before);
    expect((await here('status', NAME)).code).toBe(5);
  });
});
