import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import type { KubernetesApi } from '../../../src/host/kubernetes.ts';
import { REPOSITORY, run, temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';

/*
 * Clusters that are saved, come back as several, go back, are carried elsewhere and are old. One node: the machines themselves are shown
 * by saved-machines.test.ts with two. KVCI_TEST_RESETS=100 takes as many resets in a row.
 */

const LATER = join(REPOSITORY, 'test/fixtures/later-kvci.ts');
const RESETS = Number(process.env['KVCI_TEST_RESETS'] ?? '5');
const KUBECTL = ['kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf'] as const;
const soon = (): AbortSignal => AbortSignal.timeout(10 * 60_000);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let before: HostTraces;
let pause: string;
const here = kvciIn(() => folder);
const done = wellDone(here);
const kubectl = (cluster: string, ...words: readonly string[]): Promise<string> =>
  done('ssh', 'node01', '--cluster', cluster, '--', ...KUBECTL, ...words);
const apiOf = async (cluster: string): Promise<KubernetesApi> => kubernetesClient(await done('kubeconfig', cluster));

async function podsWork(cluster: string, deployment: string): Promise<void> {
  await kubectl(cluster, 'create', 'deployment', deployment, `--image=${pause}`);
  await kubectl(cluster, 'rollout', 'status', 'deployment', deployment, '--timeout=5m');
  const token = (await kubectl(cluster, 'create', 'token', 'default')).trim();
  const ca = ['--server', 'https://localhost:6443', '--certificate-authority', '/etc/kubernetes/pki/ca.crt'];
  const who = await done(
    'ssh',
    'node01',
    '--cluster',
    cluster,
    '--',
    'kubectl',
    '--kubeconfig=/dev/null',
    ...ca,
    '--token',
    token,
    'auth',
    'whoami',
  );
  expect(who).toContain('system:serviceaccount:default:default');
}

beforeAll(async () => {
  folder = await temporaryFolder();
  const { digest } = await nodeImage('1.36');
  before = await hostTraces();
  await done('up', 'kvci-snap', '--image', digest, '--provider', 'vm', '--timeout', '40m');
  const images = await done('ssh', 'node01', '--cluster', 'kvci-snap', '--', 'cat', '/usr/lib/kvci/images.list');
  pause = /^\S*\/pause:\S*/m.exec(images)?.[0] ?? '';
  await kubectl('kvci-snap', 'create', 'deployment', 'before', `--image=${pause}`);
  await kubectl('kvci-snap', 'rollout', 'status', 'deployment', 'before', '--timeout=10m');
  // Nodes of this one do not follow their machine's clock: it is to be older than it is.
  await done('ssh', 'node01', '--cluster', 'kvci-snap', '--', 'systemd-run', '--unit', 'kvci-clock', 'sleep', 'infinity');
  await done('snapshot', 'save', 'kvci-snap', '--name', 'kvci-old');
  await done('ssh', 'node01', '--cluster', 'kvci-snap', '--', 'systemctl', 'stop', 'kvci-clock');
  await done('snapshot', 'save', 'kvci-snap', '--name', 'kvci-ready', '--stop');
  await done('down', 'kvci-snap');
});

afterAll(async () => {
  for (const cluster of ['kvci-snap', 'kvci-one', 'kvci-two', 'kvci-aged', 'kvci-far', 'kvci-one-1']) await here('down', cluster);
  for (const snapshot of ['kvci-old', 'kvci-ready', 'kvci-far']) await here('snapshot', 'rm', snapshot);
  await folder[Symbol.asyncDispose]();
});

describe('clusters of one snapshot', () => {
  beforeAll(async () => {
    await done('up', 'kvci-one', '--from-snapshot', 'kvci-ready');
    await done('up', 'kvci-two', '--from-snapshot', 'kvci-ready');
  });

  it('are Ready side by side, with what was there, and told apart', async () => {
    const ports = new Set<string>();
    for (const cluster of ['kvci-one', 'kvci-two']) {
      const api = await apiOf(cluster);
      const { nodes, pods } = await api.view(soon());
      expect(nodes.map(({ name, ready }) => [name, ready])).toEqual([['node01', true]]);
      expect(pods.some(({ name, ready }) => name.startsWith('before-') && ready)).toBe(true);
      await api.untilConfigMap({ namespace: 'kube-system', name: 'kvci-snapshot' }, (data) => data['cluster'] === cluster, soon());
      ports.add(/server: \S+/.exec(await done('kubeconfig', cluster))?.[0] ?? '');
    }
    expect(ports.size).toBe(2);
  });

  it('start pods, whose tokens count', async () => {
    await podsWork('kvci-one', 'after');
  });

  it('have the right time', async () => {
    const time = Number(await done('ssh', 'node01', '--cluster', 'kvci-two', '--', 'date', '+%s'));
    expect(Math.abs(time * 1000 - Date.now())).toBeLessThan(60_000);
  });

  it('are found Ready, and give way to no other', async () => {
    expect(JSON.parse(await done('up', 'kvci-two', '--from-snapshot', 'kvci-ready', '--output', 'json'))).toMatchObject({ reused: true });
    expect((await here('up', 'kvci-two', '--from-snapshot', 'kvci-old')).code).toBe(5);
  });

  it('go back again and again, and nothing piles up', async () => {
    const folders = async (): Promise<string> => (await run('sh', ['-c', 'pgrep -c qemu-system'])).stdout;
    const machines = await folders();
    for (let round = 0; round < RESETS; round += 1) {
      await kubectl('kvci-two', 'create', 'namespace', 'gone');
      await done('reset', 'kvci-two');
      expect(await kubectl('kvci-two', 'get', 'namespaces')).not.toContain('gone');
    }
    expect(await folders()).toBe(machines);
    const disks = await done('ssh', 'node01', '--cluster', 'kvci-two', '--', 'ls', '/dev/vda');
    expect(disks.trim()).toBe('/dev/vda');
  });

  it('are copied as they are', async () => {
    await kubectl('kvci-one', 'create', 'namespace', 'copied');
    await done('fork', 'kvci-one');
    expect(await kubectl('kvci-one-1', 'get', 'namespaces')).toContain('copied');
    expect(await done('snapshot', 'list')).not.toContain('fork-');
    await done('down', 'kvci-one-1');
  });

  it('are started cold after they were stopped', async () => {
    await done('stop', 'kvci-one');
    expect((await here('snapshot', 'save', 'kvci-one')).code).toBe(5);
    await done('down', 'kvci-one');
    await done('down', 'kvci-two');
  });
});

describe('a snapshot that is old', () => {
  it.each([
    ['a day', 1],
    ['a month', 30],
    ['eleven months', 335],
  ])('of %s comes up Ready, and pods start', async (_what, days) => {
    const up = await run(process.execPath, [LATER, String(days), 'up', 'kvci-aged', '--from-snapshot', 'kvci-old'], { cwd: folder.path });
    expect(up.code, up.stderr).toBe(0);
    await podsWork('kvci-aged', 'later');
    await done('down', 'kvci-aged');
  });
});

describe('a snapshot that is carried elsewhere', () => {
  it('comes up with keys of its own', async () => {
    const file = join(folder.path, 'ready.kvci');
    await done('snapshot', 'export', 'kvci-ready', file);
    await done('snapshot', 'import', file, '--name', 'kvci-far');
    await done('up', 'kvci-far', '--from-snapshot', 'kvci-far');
    expect((await (await apiOf('kvci-far')).view(soon())).nodes[0]?.ready).toBe(true);
    expect((await here('snapshot', 'rm', 'kvci-far')).code).toBe(5);
    await done('down', 'kvci-far');
    await done('snapshot', 'rm', 'kvci-far');
  });
});

describe('a restore that is killed', () => {
  it.each(['restore', 'api', 'write'])('in its step "%s" leaves what down removes', async (step) => {
    const args = ['up', 'kvci-two', '--from-snapshot', 'kvci-ready', '--progress', 'json'];
    const child = spawn(join(REPOSITORY, 'kvci'), args, { cwd: folder.path, stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'exit');
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.includes('"step.start"') && line.includes(`"step":"${step}"`)) child.kill('SIGKILL');
    });
    expect((await ended)[1]).toBe('SIGKILL');
    await done('down', 'kvci-two');
    expect(await done('list')).not.toContain('kvci-two');
  });
});

it('leaves nothing on the host', async () => {
  await done('snapshot', 'rm', 'kvci-old', 'kvci-ready');
  await done('prune');
  expect(await hostTraces()).toEqual(before);
});
