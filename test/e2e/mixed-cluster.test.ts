import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { kubernetesClient } from '../../src/host/adapters/kubernetes-client.ts';
import { freePort } from '../../src/host/free-port.ts';
import { temporaryFolder } from '../cli/run-kvci.ts';
import { type HostTraces, hostTraces } from '../fixtures/host-traces.ts';
import { kvciIn, wellDone } from '../fixtures/kvci-calls.ts';
import { nodeImage } from '../fixtures/node-image.ts';
import { startKvci } from '../fixtures/started-kvci.ts';
import { greeting } from '../fixtures/traces.ts';
import { killVm } from '../fixtures/vm-processes.ts';

/*
 * A real cluster of both kinds: where nodes are emulated, a control plane that is a container takes a third of the time. What virtual
 * machines alone are asked is in test/full/part-4.
 */

const NAME = 'kvci-e2e-mixed';

describe('a control plane that is a container with a worker that is a virtual machine', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let before: HostTraces;

  const done = wellDone(kvciIn(() => folder));
  const on = (node: string, ...argv: readonly string[]): Promise<string> => done('ssh', node, '--cluster', NAME, '--', ...argv);
  const readyNodes = async (): Promise<readonly string[]> => {
    const api = kubernetesClient(await done('kubeconfig', NAME));
    const { nodes } = await api.view(AbortSignal.timeout(60_000));
    return nodes.flatMap(({ name, ready }) => (ready ? [name] : [])).toSorted();
  };

  beforeAll(async () => {
    folder = await temporaryFolder();
    const { digest } = await nodeImage('1.36');
    // The disk stays in the cache, as the image does.
    await done('disk', 'build', digest);
    before = await hostTraces();
    await done('up', NAME, '--image', digest, '--nodes', '2', '--provider', 'vm', '--control-plane-provider', 'kind', '--timeout', '20m');
  });

  afterAll(async () => {
    await kvciIn(() => folder)('down', NAME);
    await folder[Symbol.asyncDispose]();
  });

  it('is Ready, each node of its kind', async () => {
    expect(await readyNodes()).toEqual(['node01', 'node02']);
    expect(await on('node01', 'systemd-detect-virt', '--container')).not.toBe('none\n');
    expect(await on('node02', 'systemd-detect-virt', '--vm')).toMatch(/^(qemu|kvm)\n$/);
  });

  it('nodes know each other by name, in both families', async () => {
    for (const [node, other] of [
      ['node01', 'node02'],
      ['node02', 'node01'],
    ] as const) {
      expect(await on(node, 'getent', 'ahostsv4', other)).toMatch(/^10\.\d+\.\d+\.1[12] /);
      expect(await on(node, 'getent', 'ahostsv6', other)).toMatch(/^fd[0-9a-f:]+ /);
    }
    const [ssh, api] = ['exec 3<>/dev/tcp/node02/22 && head -c 4 <&3', 'exec 3<>/dev/tcp/node01/6443'];
    expect(await on('node01', 'bash', '-c', ssh)).toBe('SSH-');
    await on('node02', 'bash', '-c', api);
  });

  it('ports of this host lead into a virtual machine', async () => {
    const port = await freePort();
    const forward = ['-N', '-L', `${port}:localhost:22`, '--progress', 'json'];
    const forwarding = startKvci(['ssh', 'node02', '--cluster', NAME, ...forward], { cwd: folder.path });
    await forwarding.said('leads to localhost:22');
    expect(await greeting(port)).toMatch(/^SSH-/);
    forwarding.child.kill('SIGINT');
    expect((await forwarding.ended()).code).toBe(130);
  });

  it('a power cut of the virtual machine heals', async () => {
    await on('node02', 'sh', '-c', 'echo kept >/var/lib/kept && sync');
    await killVm(NAME, 'node02');
    const status = await kvciIn(() => folder)('status', NAME, '--output', 'json');
    expect(status.code).toBe(1);
    expect(JSON.parse(status.stdout)).toMatchObject({ condition: 'not-ready', problems: ['node node02: does not run'] });
    await done('start', NAME, '--timeout', '20m');
    expect(await readyNodes()).toEqual(['node01', 'node02']);
    expect(await on('node02', 'cat', '/var/lib/kept')).toBe('kept\n');
  });

  it('leaves nothing on the host after down', async () => {
    await done('down', NAME);
    expect(await hostTraces()).toEqual(before);
  });
});
