import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import { chooseDirectories } from '../../../src/host/directories.ts';
import type { KubernetesApi } from '../../../src/host/kubernetes.ts';
import { hostTraces, type HostTraces } from '../../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { greets, podOn } from '../../fixtures/own-program-pods.ts';
import { KUBECTL } from '../../fixtures/served-cluster.ts';
import { pushSmallImage } from '../../fixtures/small-image.ts';
import { type TlsRegistry, tlsRegistry } from '../../fixtures/tls-registry.ts';

/*
 * The registry beside clusters, mirrors and private certificates. The mirror with a certificate of its own CA runs on a node: what
 * nodes reach beside each other differs between hosts.
 */

const [NAME, OTHER] = ['kvci-test-registry', 'kvci-test-registry-b'];
const NEVER = new AbortController().signal;
const PLACE = '/root/mirror';
const [TRUSTED, UNTRUSTED] = ['secure.example', 'untrusted.example'];

interface Up {
  readonly registry: { readonly push: string; readonly pull: string };
  readonly kubeconfig: string;
  readonly nodes: readonly { readonly addresses: { readonly ipv4: string } }[];
}

describe('a registry beside clusters', () => {
  let folder: string;
  let traces: HostTraces;
  let image: string;
  let cluster: Up;
  let api: KubernetesApi;
  let mirror: TlsRegistry;
  const here = wellDone(kvciIn(() => ({ path: folder })));
  const onNode = (node: string, script: string): Promise<string> => here('ssh', node, '--cluster', NAME, '--', 'sh', '-c', script);

  const runs = (name: string, image: string, kubernetes = api): Promise<void> =>
    greets(kubernetes, { node: 'node01', name, image, greeting: 'pushed', pull: 'Always' });
  const pullFailure = async (name: string, ref: string): Promise<string> => {
    await api.apply(podOn('node01', name, ref, 'true', 'Always'), NEVER);
    const path = `jsonpath={.items[?(@.involvedObject.name=="${name}")].message}`;
    const words = [...KUBECTL, 'get', 'events', '--output', path];
    await api.until(({ pods }) => pods.some((pod) => pod.name === name && pod.message.includes('Pull')), AbortSignal.timeout(120_000));
    return here('ssh', 'node01', '--cluster', NAME, '--', ...words);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvci-registry-'));
    image = (await nodeImage('1.36')).digest;
    traces = await hostTraces();
    mirror = await tlsRegistry(folder, 'mirror.test', PLACE, 5443);
    const mirrors = [
      '--mirror=plain.example=http://registry:5000',
      `--mirror=${TRUSTED}=https://mirror.test:5443`,
      `--mirror=${UNTRUSTED}=https://mirror.test:5443`,
    ];
    const flags = ['--nodes', '2', '--provider', 'kind', '--registry', ...mirrors, '--ca', `${TRUSTED}=${mirror.certificate}`];
    cluster = JSON.parse(await here('up', NAME, '--image', image, '--output', 'json', ...flags)) as Up;
    api = kubernetesClient(await readFile(cluster.kubeconfig, 'utf8'));
  });

  afterAll(async () => {
    const clusters = (JSON.parse(await here('list', '--output', 'json')) as { clusters: readonly { name: string }[] }).clusters;
    for (const { name } of clusters) if ([NAME, OTHER].includes(name)) await here('down', name);
    await rm(folder, { recursive: true, force: true });
  });

  it('is pushed to at localhost and pulled from as registry:5000, by way of a mirror too', async () => {
    expect(cluster.registry.push).toMatch(/^localhost:\d+$/);
    await pushSmallImage(folder, `${cluster.registry.push}/team/greeter:1`, 'pushed');
    await runs('own', `${cluster.registry.pull}/team/greeter:1`);
    await runs('mirrored', 'plain.example/team/greeter:1');
    expect(await here('ports', NAME)).toContain(cluster.registry.push.replace('localhost', '127.0.0.1'));
  });

  it('a mirror with a certificate of its own CA is trusted where that was said, and only there', async () => {
    const { program, config, certificate, key } = mirror;
    await onNode('node02', `mkdir -p ${PLACE}`);
    for (const file of [program, config, certificate, key, join(stateFolder(), 'registry', 'data')])
      await here('cp', file, `node02:${PLACE}`, '--cluster', NAME);
    await onNode('node02', `systemd-run --unit kvci-test-mirror ${PLACE}/docker-registry serve ${PLACE}/config.yml`);
    await onNode('node01', `echo '${cluster.nodes[1]?.addresses.ipv4 ?? ''} mirror.test' >>/etc/hosts`);
    await runs('trusted', `${TRUSTED}/team/greeter:1`);
    expect(await pullFailure('untrusted', `${UNTRUSTED}/team/greeter:1`)).toContain('x509: certificate signed by unknown authority');
  });

  it('is missed when it is gone, and started again by up, with all that was pushed', async () => {
    const { sandbox } = JSON.parse(await readFile(join(stateFolder(), 'registry', 'registry.json'), 'utf8')) as {
      sandbox: { pid: number };
    };
    process.kill(sandbox.pid, 'SIGKILL');
    const status = JSON.parse(await here('status', NAME, '--output', 'json')) as { readonly problems: readonly string[] };
    expect(status.problems).toEqual([`the registry beside it does not run: "kvci up ${NAME}" starts it again`]);
    expect(await pullFailure('missed', `${cluster.registry.pull}/team/greeter:1`)).toContain(`${cluster.registry.pull}/v2/`);
    await here('up', NAME);
    await runs('again', `${cluster.registry.pull}/team/greeter:1`);
  });

  it('keeps its port and what was pushed over stop and start', async () => {
    await here('stop', NAME);
    const started = JSON.parse(await here('start', NAME, '--output', 'json')) as Up;
    expect(started.registry).toEqual(cluster.registry);
    await runs('kept', `${cluster.registry.pull}/team/greeter:1`);
  });

  it('is shared by clusters, and goes with the last of them', async () => {
    const other = JSON.parse(await here('up', OTHER, '--image', image, '--provider', 'kind', '--registry', '--output', 'json')) as Up;
    expect(other.registry).toEqual(cluster.registry);
    await here('down', NAME);
    const kubernetes = kubernetesClient(await readFile(other.kubeconfig, 'utf8'));
    await runs('shared', `${other.registry.pull}/team/greeter:1`, kubernetes);
    await here('down', OTHER);
    expect(await hostTraces()).toEqual(traces);
  });
});

function stateFolder(): string {
  const { env } = process;
  return chooseDirectories({ home: homedir(), xdgStateHome: env['XDG_STATE_HOME'], state: env['KVCI_STATE_DIR'] }).state;
}
