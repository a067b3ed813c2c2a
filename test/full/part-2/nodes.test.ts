import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createReadStream } from 'node:fs';
import { createGunzip } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import { tarStreamTar } from '../../../src/host/adapters/tar-stream-tar.ts';
import type { KubernetesApi, KubernetesObject } from '../../../src/host/kubernetes.ts';
import { run, temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { killNode } from '../../fixtures/killed-node.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { ownProgram, pauseImageOf, podOn } from '../../fixtures/own-program-pods.ts';
import { KUBECTL } from '../../fixtures/served-cluster.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';

const NAME = 'kvci-nodes';

/** For watches: a hang, not a measure. */
const soon = (): AbortSignal => AbortSignal.timeout(10 * 60_000);

/** A Deployment that adds a line to its volume each time it starts and serves all of them, of the node's own programs. */
function application(image: string): readonly KubernetesObject[] {
  const labels = { app: 'app' };
  const script = `echo started >>/data/log; exec /usr/bin/socat -U TCP6-LISTEN:8080,fork,reuseaddr,ipv6only=0 EXEC:"/usr/bin/cat /data/log"`;
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace: 'default' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'app', namespace: 'default' },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'app', namespace: 'default' },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            nodeSelector: { 'kubernetes.io/hostname': 'node04' },
            ...ownProgram(
              image,
              script,
              [{ name: 'data', mountPath: '/data' }],
              [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
            ),
          },
        },
      },
    },
  ];
}

describe('a cluster of three control planes and a worker', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let before: HostTraces;
  let api: KubernetesApi;

  const here = kvciIn(() => folder);
  const done = wellDone(here);
  const on = (node: string, ...argv: readonly string[]): Promise<string> => done('ssh', node, '--cluster', NAME, '--', ...argv);
  const readyNodes = async (): Promise<readonly string[]> =>
    (await api.view(soon())).nodes
      .filter(({ ready }) => ready)
      .map(({ name }) => name)
      .toSorted();
  const served = async (): Promise<string> => {
    await api.until(({ pods }) => pods.some(({ labels, ready }) => labels['app'] === 'app' && ready), soon());
    const address = await on('node03', ...KUBECTL, 'get', 'service', 'app', '-o', 'jsonpath={.spec.clusterIP}');
    return on('node04', 'socat', '-u', `TCP:${address}:80`, 'STDOUT');
  };

  beforeAll(async () => {
    folder = await temporaryFolder();
    const { digest } = await nodeImage('1.36');
    before = await hostTraces();
    await done('up', NAME, '--provider', 'kind', '--image', digest, '--control-planes', '3', '--nodes', '4');
    api = kubernetesClient(await done('kubeconfig', NAME));
  });

  afterAll(async () => {
    await here('down', NAME);
    await folder[Symbol.asyncDispose]();
  });

  it('keeps a Deployment, its Service and its volume over a stop and a start', async () => {
    const pause = await pauseImageOf((...argv) => here('ssh', 'node01', '--cluster', NAME, '--', ...argv));
    for (const object of application(pause)) await api.apply(object, soon());
    expect(await served()).toBe('started\n');
    expect(JSON.parse(await done('stop', NAME, '--output', 'json'))).toMatchObject({ stopped: ['node01', 'node02', 'node03', 'node04'] });
    expect(JSON.parse(await done('list', '--output', 'json'))).toMatchObject({ clusters: [{ name: NAME, condition: 'stopped' }] });
    expect((await here('ssh', 'node01', '--cluster', NAME, '--', 'true')).code).toBe(5);
    await done('start', NAME);
    expect(await served()).toBe('started\nstarted\n');
  });

  it('goes on without a control plane that is killed; it is removed and two others are made', async () => {
    const marker = `/run/kvci-test-${process.pid}`;
    await on('node02', 'touch', marker);
    await killNode(marker);
    await api.view(soon());
    await done('node', 'remove', 'node02', '--cluster', NAME);
    expect(await readyNodes()).toEqual(['node01', 'node03', 'node04']);
    // The first, alive.
    await done('node', 'remove', 'node01', '--cluster', NAME);
    expect(await readyNodes()).toEqual(['node03', 'node04']);
    expect((await here('node', 'remove', 'node03', '--cluster', NAME)).code).toBe(2);
    const added = JSON.parse(await done('node', 'add', '--control-plane', '--count', '2', '--cluster', NAME, '--output', 'json')) as object;
    expect(added).toMatchObject({ added: ['node01', 'node02'] });
    expect(await readyNodes()).toEqual(['node01', 'node02', 'node03', 'node04']);
    // From a new node to a pod of another: routes know both.
    expect(await on('node01', ...KUBECTL, 'get', '--raw', '/readyz')).toBe('ok');
    expect(await served()).toBe('started\nstarted\n');
    expect(JSON.parse(await done('up', NAME, '--output', 'json'))).toMatchObject({ reused: true });
  });

  it('lets the pods of a node end before it goes, as their budget allows', async () => {
    const labels = { app: 'kept' };
    const metadata = { name: 'kept', namespace: 'default' };
    expect(JSON.parse(await done('node', 'add', '--cluster', NAME, '--output', 'json'))).toMatchObject({ added: ['node05'] });
    const pause = await pauseImageOf((...argv) => here('ssh', 'node01', '--cluster', NAME, '--', ...argv));
    await api.apply(podOn('node05', 'kept', pause, 'exec /usr/bin/sleep infinity'), soon());
    const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata };
    await api.apply({ ...budget, spec: { minAvailable: 1, selector: { matchLabels: labels } } }, soon());
    await api.until(({ pods }) => pods.some(({ name, ready }) => name === 'kept' && ready), soon());
    const removing = startKvci(['node', 'remove', 'node05', '--cluster', NAME, '--progress', 'json'], { cwd: folder.path });
    await removing.said('"type":"step.start","step":"drain node05"');
    expect((await api.view(soon())).pods.filter(({ name }) => name === 'kept')).toHaveLength(1);
    await api.remove(budget, soon());
    expect((await removing.ended()).code).toBe(0);
    expect(await readyNodes()).toEqual(['node01', 'node02', 'node03', 'node04']);
  });

  it('copies files both ways', async () => {
    const source = join(folder.path, 'source');
    await mkdir(join(source, 'sub'), { recursive: true });
    await writeFile(join(source, 'sub', 'script'), '#!/bin/sh\n', { mode: 0o750 });
    await done('cp', 'source', 'node04:/root', '--cluster', NAME);
    expect(await on('node04', 'stat', '--format=%a %U', '/root/source/sub/script')).toBe('750 root\n');
    await done('cp', 'node04:/root/source', 'back', '--cluster', NAME);
    expect((await run('diff', ['--recursive', source, join(folder.path, 'back')])).code).toBe(0);
    expect(await done('cp', 'node04:/root/source/sub/script', '-', '--cluster', NAME)).toBe('#!/bin/sh\n');
    expect(await here('cp', 'node04:/none', 'x', '--cluster', NAME)).toMatchObject({ code: 5 });
  });

  it('collects everything without a token in it', async () => {
    const file = join(folder.path, 'logs.tar.gz');
    await done('logs', '--cluster', NAME, '--bundle', file);
    const texts = new Map<string, string>();
    for await (const entry of tarStreamTar.read(createReadStream(file).pipe(createGunzip()))) {
      texts.set(entry.path.replace(`kvci-${NAME}/`, ''), Buffer.concat((await entry.content().toArray()) as Buffer[]).toString());
    }
    expect(texts.get('missing.txt')).toBe('');
    expect([...texts.keys()]).toEqual(
      expect.arrayContaining([
        'state.json',
        'events.ndjson',
        'nodes/node01/journal.txt',
        'nodes/node04/console.txt',
        'kubernetes/events.txt',
      ]),
    );
    const names = [...texts.keys()].join('\n');
    expect(names).toMatch(/^kubeadm\/.*-up-init-node01\.txt$/m);
    // Of containers that were restarted, too.
    expect(names).toMatch(/^nodes\/node03\/pods\/kube-system_etcd-node03_[^/]+\/etcd\/0\.log$/m);
    expect(names).toMatch(/\/etcd\/1\.log$/m);
    const all = [...texts.values()].join('\n');
    expect(all).toContain('--token ***');
    expect(all).not.toMatch(/--token [a-z0-9]{6}\.[a-z0-9]{16}|--certificate-key [0-9a-f]{64}|BEGIN [A-Z ]*PRIVATE KEY-----[^*]/);
  });

  it('draws its runs', async () => {
    const { runs } = JSON.parse(await done('timeline', NAME, '--output', 'json')) as {
      readonly runs: readonly {
        readonly command: string;
        readonly status: string;
        readonly spans: readonly { readonly title: string }[];
      }[];
    };
    expect(runs.map(({ command, status }) => `${command} ${status}`)).toEqual([
      'node remove done',
      'node add done',
      'node add done',
      'node remove done',
      'node remove done',
      'start done',
      'stop done',
      'up done',
    ]);
    expect(runs.at(-1)?.spans.map(({ title }) => title)).toEqual(expect.arrayContaining(['systemd', 'kubelet', 'kvci-images']));
  });

  it('leaves nothing on the host after down', async () => {
    await done('down', NAME);
    expect(await hostTraces()).toEqual(before);
  });
});
