import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { sha256 } from '../../../src/core/digest.ts';
import { type Run, temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { serveFiles } from '../../fixtures/http-release-server.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { ownProgram, pauseImageOf } from '../../fixtures/own-program-pods.ts';

const NAME = 'kvci-network';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let before: HostTraces;
let digest: string;

const here = kvciIn(() => folder);
const done = wellDone(here);
const on = (node: string, ...argv: readonly string[]): Promise<Run> => here('ssh', node, '--cluster', NAME, '--', ...argv);
const status = async (): Promise<{ readonly condition: string; readonly problems: readonly string[] }> =>
  JSON.parse((await here('status', NAME, '--output', 'json')).stdout) as Awaited<ReturnType<typeof status>>;

beforeAll(async () => {
  folder = await temporaryFolder();
  ({ digest } = await nodeImage('1.36'));
  before = await hostTraces();
});

afterAll(async () => {
  await here('down', NAME);
  await folder[Symbol.asyncDispose]();
});

/** What a pod network's own pod does, here with the plugins of the image: writes the node's configuration, and stays. */
const INSTALL = `
range=$(/usr/bin/kubectl --kubeconfig /etc/kubernetes/kubelet.conf get node "$NODE" -o 'jsonpath={.spec.podCIDR}')
[ -n "$range" ] || exit 1
/usr/bin/cat >/etc/cni/net.d/.new <<END
{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"$range"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
END
/usr/bin/mv /etc/cni/net.d/.new /etc/cni/net.d/10-test.conflist
exec /usr/bin/sleep infinity
`;

/** A manifest as pod networks have them: a DaemonSet in the network of its node, with the image that every node has. */
function manifest(image: string): string {
  const labels = { app: 'test-network' };
  const folders = ['etc/cni/net.d', 'etc/kubernetes', 'var/lib/kubelet'].map((path) => ({
    name: path.replaceAll(/[/.]/g, '-'),
    path: `/${path}`,
  }));
  const program = ownProgram(
    image,
    INSTALL,
    folders.map(({ name, path }) => ({ name, mountPath: path })),
    folders.map(({ name, path }) => ({ name, hostPath: { path, type: 'DirectoryOrCreate' } })),
  ) as { readonly containers: readonly object[] };
  const spec = {
    ...program,
    containers: program.containers.map((container) => ({
      ...container,
      securityContext: { privileged: true, runAsUser: 0 },
      env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    })),
    hostNetwork: true,
    tolerations: [{ operator: 'Exists' }],
  };
  const set = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'test-network', namespace: 'kube-system' },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  };
  // JSON is YAML.
  return `${JSON.stringify(set)}\n`;
}

describe('no pod network', () => {
  it('is a cluster whose nodes have joined and wait for one', async () => {
    const up = [
      'up',
      NAME,
      '--provider',
      'kind',
      '--image',
      digest,
      '--nodes',
      '2',
      '--ip-family',
      'ipv4',
      '--cni',
      'none',
      '--output',
      'json',
    ];
    expect(JSON.parse(await done(...up))).toMatchObject({ reused: false, phase: 'ready' });
    const { problems } = await status();
    expect(problems.join('\n')).toMatch(/node node01: .*network/);
    expect((await on('node01', 'sh', '-c', 'ls /etc/cni/net.d')).stdout).toBe('');
    expect(JSON.parse(await done(...up))).toMatchObject({ reused: true });
  });
});

describe('a pod network by its manifest', () => {
  it('is applied, kept with the cluster, and not asked for again', async () => {
    const text = manifest(await pauseImageOf((...argv) => on('node01', ...argv)));
    await done('down', NAME);
    const server = await serveFiles(new Map([['/network.yaml', text]]));
    // With the server's own port.
    const served = await hostTraces();
    const url = `http://${server.host}/network.yaml`;
    const up = (checksum: string): Promise<Run> =>
      here(
        'up',
        NAME,
        '--provider',
        'kind',
        '--image',
        digest,
        '--ip-family',
        'ipv4',
        '--cni',
        url,
        '--sha256',
        checksum,
        '--output',
        'json',
      );
    const checksum = sha256(text).replace('sha256:', '');
    try {
      const wrong = await up('0'.repeat(64));
      expect({ code: wrong.code, ...(JSON.parse(wrong.stdout) as object) }).toMatchObject({
        code: 1,
        error: { code: 'checksum-mismatch' },
      });
      server.files.delete('/network.yaml');
      const missing = await up(checksum);
      expect({ code: missing.code, ...(JSON.parse(missing.stdout) as object) }).toMatchObject({ code: 5, error: { code: 'not-served' } });
      expect(await hostTraces()).toEqual(served);
      server.files.set('/network.yaml', text);
      const right = await up(checksum);
      expect(right.code, right.stderr).toBe(0);
    } finally {
      await server[Symbol.asyncDispose]();
    }
    expect((await status()).condition).toBe('ready');
    await done('stop', NAME);
    // Nobody serves it any more.
    await done('start', NAME, '--offline');
    expect((await status()).condition).toBe('ready');
  });

  it('leaves nothing after down', async () => {
    await done('down', NAME);
    expect(await hostTraces()).toEqual(before);
  });
});
