import { readFile, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../../src/host/adapters/kubernetes-client.ts';
import type { KubernetesApi } from '../../../src/host/kubernetes.ts';
import { temporaryFolder } from '../../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../../fixtures/kvci-calls.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';
import { besideQemu } from '../../fixtures/vm-memory.ts';

/*
 * Clusters with virtual machines, from the command line. Emulated, all nodes as virtual machines take many minutes and a quiet host;
 * with a control plane that is a container a cluster is there in two.
 */

const soon = (): AbortSignal => AbortSignal.timeout(10 * 60_000);

describe.each([
  { name: 'kvci-vms', what: 'virtual machines only', flags: ['--provider', 'vm', '--vnc'], console: ['node01', 'node02'] },
  {
    name: 'kvci-mixed',
    what: 'a control plane that is a container, and a virtual machine',
    flags: ['--provider', 'vm', '--control-plane-provider', 'kind'],
    console: ['node02'],
  },
])('a cluster of $what', ({ name, flags, console: machines }) => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let before: HostTraces;
  let api: KubernetesApi;

  const here = kvciIn(() => folder);
  const done = wellDone(here);
  const on = (node: string, ...argv: readonly string[]): Promise<string> => done('ssh', node, '--cluster', name, '--', ...argv);
  const readyNodes = async (): Promise<readonly string[]> =>
    (await api.view(soon())).nodes
      .filter(({ ready }) => ready)
      .map((node) => node.name)
      .toSorted();

  beforeAll(async () => {
    folder = await temporaryFolder();
    const { digest } = await nodeImage('1.36');
    before = await hostTraces();
    await done('up', name, '--image', digest, '--nodes', '2', '--timeout', '40m', ...flags);
    api = kubernetesClient(await done('kubeconfig', name));
  });

  afterAll(async () => {
    await here('down', name);
    await folder[Symbol.asyncDispose]();
  });

  it('is Ready, and found Ready', async () => {
    expect(await readyNodes()).toEqual(['node01', 'node02']);
    expect(JSON.parse(await done('up', name, '--output', 'json'))).toMatchObject({ reused: true });
  });

  it('takes commands, files and pipes', async () => {
    for (const node of ['node01', 'node02']) expect(await on(node, 'hostname')).toBe(`${node}\n`);
    expect(JSON.parse(await done('exec', '--cluster', name, '--output', 'json', '--', 'hostname'))).toMatchObject({
      nodes: [
        { node: 'node01', exitCode: 0, stdout: 'node01\n' },
        { node: 'node02', exitCode: 0, stdout: 'node02\n' },
      ],
    });
    await writeFile(join(folder.path, 'file'), 'content\n');
    await done('cp', 'file', 'node02:/root/copied', '--cluster', name);
    expect(await done('cp', 'node02:/root/copied', '-', '--cluster', name)).toBe('content\n');
    expect(await done('logs', 'node02', '--cluster', name)).toContain('kubelet');
    expect(JSON.parse(await done('ports', name, '--output', 'json'))).toMatchObject({ ports: [{ name: 'k8s', host: '127.0.0.1' }] });
  });

  it('shows consoles of virtual machines, and screens where they have some', async () => {
    for (const node of machines) {
      const seen = startKvci(['console', node, '--cluster', name], { cwd: folder.path });
      seen.child.stdout?.on('data', (piece: Buffer) => {
        if (piece.includes('Linux version')) seen.child.kill('SIGINT');
      });
      expect((await seen.ended()).code).toBe(130);
    }
    if (!flags.includes('--vnc')) return;
    const { vnc } = JSON.parse(await done('console', 'node01', '--vnc', '--cluster', name, '--output', 'json')) as { readonly vnc: string };
    const screen = createConnection(vnc);
    expect(String(await once(screen, 'data'))).toMatch(/^RFB 003/);
    screen.destroy();
  });

  it('takes little beside QEMU, and no kvci stays', async () => {
    const { bytes, node } = await besideQemu(name);
    expect(node).toEqual([]);
    if (!flags.includes('kind')) expect(bytes).toBeLessThanOrEqual(150e6);
  });

  it('stops, and starts with what it had', async () => {
    await on('node02', 'sh', '-c', 'echo kept >/var/lib/kept');
    await done('stop', name);
    expect(JSON.parse(await done('list', '--output', 'json'))).toMatchObject({ clusters: [{ name, condition: 'stopped' }] });
    await done('start', name, '--timeout', '40m');
    expect(await readyNodes()).toEqual(['node01', 'node02']);
    expect(await on('node02', 'cat', '/var/lib/kept')).toBe('kept\n');
  });

  it('loses a node and gets another', async () => {
    await done('node', 'remove', 'node02', '--cluster', name);
    expect(await readyNodes()).toEqual(['node01']);
    await done('node', 'add', '--cluster', name, '--timeout', '40m');
    expect(await readyNodes()).toEqual(['node01', 'node02']);
  });

  it('leaves nothing on the host after down', async () => {
    const { kubeconfig } = JSON.parse(await done('up', name, '--output', 'json')) as { readonly kubeconfig: string };
    await done('down', name);
    await expect(readFile(kubeconfig)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await hostTraces()).toEqual(before);
  });
});
