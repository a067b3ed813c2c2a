import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';

import { sha256 } from '../../src/core/digest.ts';
import { Secret } from '../../src/core/secrets.ts';
import { nodeAddresses } from '../../src/cluster/addresses.ts';
import { controlPlaneEndpoint, initConfig, joinConfig, type KubeadmCluster, type KubeadmNode, tokenConfig } from '../../src/cluster/kubeadm.ts';
import { hostKubeconfig } from '../../src/cluster/kubeconfig.ts';
import { kubeadmPatches } from '../../src/cluster/patches.ts';
import { conflist, routes } from '../../src/cluster/steps/pod-network.ts';
import { probe } from '../../src/cluster/steps/probe.ts';
import { nodeVolumes, storageClass } from '../../src/cluster/steps/storage.ts';
import type { IpFamily, MachineNetwork } from '../../src/machine/types.ts';

const UPDATE = process.env['KVCI_UPDATE_GOLDEN'] === '1';
const FOLDER = new URL('cluster/', import.meta.url).pathname;

async function golden(name: string, rendered: string): Promise<void> {
  const path = join(FOLDER, name);
  if (UPDATE) {
    await mkdir(FOLDER, { recursive: true });
    await writeFile(path, rendered);
  }
  expect(rendered).toBe(await readFile(path, 'utf8'));
}

const NETWORK: MachineNetwork = { ipv4: '10.89.1.0/24', ipv6: 'fd00:6b76:6369:1::/64' };
const FAMILIES: Readonly<Record<string, readonly IpFamily[]>> = { dual: ['ipv4', 'ipv6'], ipv4: ['ipv4'], ipv6: ['ipv6'] };
const SECRETS = { token: new Secret('abcdef.0123456789abcdef') };
const KEYED = { ...SECRETS, certificateKey: new Secret('00'.repeat(32)) };
const CA = { caHash: sha256('ca') };

function networkOf(families: readonly IpFamily[]): MachineNetwork {
  return Object.fromEntries(families.map((family) => [family, NETWORK[family]]));
}

function node(index: number, families: readonly IpFamily[], container = false): KubeadmNode {
  const facts = { container, emulated: false, missingControllers: container ? ['memory'] : [] };
  return { name: `node0${index}`, addresses: nodeAddresses(networkOf(families), index), facts };
}

function cluster(families: readonly IpFamily[], change: Partial<KubeadmCluster> = {}): KubeadmCluster {
  const endpoint = controlPlaneEndpoint(nodeAddresses(networkOf(families), 1), families);
  return { name: 'lab', kubernetes: '1.36.3', families, endpoint, names: ['localhost', '127.0.0.1'], allocateRanges: false, ...change };
}

describe('what kubeadm reads', () => {
  it.each(Object.entries(FAMILIES))('init and join, %s', async (name, families) => {
    await golden(`init-${name}.yaml`, initConfig(cluster(families), node(1, families), SECRETS));
    await golden(`join-${name}.yaml`, joinConfig(cluster(families), node(2, families), 'worker', { ...SECRETS, ...CA }));
  });

  it('a node that is a container is checked less and sets nothing of the kernel', async () => {
    const families: readonly IpFamily[] = ['ipv4', 'ipv6'];
    await golden('init-container.yaml', initConfig(cluster(families, { allocateRanges: true }), node(1, families, true), SECRETS));
  });

  it('an emulated node is given time', async () => {
    const families: readonly IpFamily[] = ['ipv4', 'ipv6'];
    const slow = { ...node(1, families), facts: { container: false, emulated: true, missingControllers: [] } };
    await golden("init-emulated.yaml", initConfig(cluster(families), slow, KEYED));
  });

  it('an older version has checks that are wrong', async () => {
    const families: readonly IpFamily[] = ['ipv6'];
    await golden('init-1.31.yaml', initConfig(cluster(families, { kubernetes: '1.31.0' }), node(1, families, true), SECRETS));
  });

  it.each(['1.31.0', '1.36.3'])('patches of what kubeadm %s writes', async (kubernetes) => {
    const files = kubeadmPatches(kubernetes, { emulated: false }).map(({ path, content }) => `# ${path}\n${content}`);
    await golden(`patches-${kubernetes}.yaml`, files.join('---\n'));
    const patient = kubeadmPatches(kubernetes, { emulated: true }).map(({ path, content }) => `# ${path}\n${content}`);
    await golden(`patches-${kubernetes}-emulated.yaml`, patient.join('---\n'));
  });

  it('several control planes share their certificates by a key', async () => {
    const families: readonly IpFamily[] = ['ipv4', 'ipv6'];
    const three = cluster(families, { endpoint: '10.89.1.1:6443' });
    await golden('init-three.yaml', initConfig(three, node(1, families), KEYED));
    await golden('join-control-plane.yaml', joinConfig(three, node(2, families), 'control-plane', { ...KEYED, ...CA }));
    await golden('token.yaml', tokenConfig(KEYED, '2h0m0s'));
  });
});

describe('the pod network', () => {
  it.each(Object.entries(FAMILIES))('%s', async (name, families) => {
    const others = [1, 2, 3].map((index) => ({ index }));
    await golden(`conflist-${name}.json`, conflist(2, families));
    await golden(`routes-${name}`, routes(2, others, networkOf(families), families));
  });
});

describe('what is applied', () => {
  it('storage', async () => {
    await golden('storage.yaml', [storageClass(), ...nodeVolumes({ name: 'node01' }).slice(0, 2)].map((object) => stringify(object)).join('---\n'));
  });

  it('the probe', async () => {
    const request = { image: 'registry.k8s.io/pause:3.10', nodes: 2, everySeconds: 1, families: FAMILIES['dual']!, userland: ['/usr', '/lib', '/lib64'] };
    await golden('probe.yaml', probe(request).map((object) => stringify(object, { lineWidth: 0 })).join('---\n'));
  });
});

const ADMIN_CONF = `apiVersion: v1
clusters:
- cluster: {certificate-authority-data: Q0E=, server: "https://10.89.1.11:6443"}
  name: lab
contexts:
- context: {cluster: lab, user: kubernetes-admin}
  name: kubernetes-admin@lab
current-context: kubernetes-admin@lab
kind: Config
users:
- name: kubernetes-admin
  user: {client-certificate-data: QQ==, client-key-data: Qg==}
`;

it('the kubeconfig of this host', async () => {
  await golden('kubeconfig.yaml', hostKubeconfig(ADMIN_CONF, 'lab', { host: '127.0.0.1', port: 40001 }));
});
