import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/core/digest.ts';
import { connectContainers } from '../../../src/host/adapters/dockerode-containers.ts';
import { lanAddresses } from '../../../src/machine/net/lan.ts';
import { filesOfDisk } from '../../../src/machine/qemu/disk-source.ts';
import { startVm } from '../../../src/machine/qemu/start-vm.ts';
import { openVm } from '../../../src/machine/qemu/vm.ts';
import { vmMachines } from '../../../src/machine/qemu/vm-machines.ts';
import { findVmSandbox, startVmSandbox, type VmSandboxParts } from '../../../src/machine/qemu/vm-sandbox.ts';
import type { Machines, MachineSpec } from '../../../src/machine/types.ts';
import type { SandboxKind } from '../../../src/sandbox/types.ts';
import { SANDBOX_LABEL } from '../../../src/sandbox/container-request.ts';
import { clusterContract } from '../../fixtures/cluster-contract.ts';
import { testAllSandboxes } from '../../fixtures/container-sandboxes.ts';
import { type DockerDaemon, dockerProblem, startDockerDaemon } from '../../fixtures/docker-daemon.ts';
import { hostTraces, type HostTraces } from '../../fixtures/host-traces.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { greeting, until } from '../../fixtures/traces.ts';
import { LAN, nodeDisk, sandboxRequest, testVms, WITHOUT_KUBERNETES } from '../../fixtures/vms.ts';

/* Sandboxes that are containers: single machines, and a cluster of an older Kubernetes with IPv4 only (see vm-cluster.test.ts). */

const NEVER = new AbortController().signal;

/** For a hang: an emulated machine beside others takes minutes. */
const BOOT_MS = 15 * 60_000;

const withoutDocker = isMissing('docker', dockerProblem());

describe.skipIf(withoutDocker)('a virtual machine in a sandbox that is a container', () => {
  let folder: string;
  let docker: DockerDaemon;
  let parts: VmSandboxParts;

  beforeAll(async () => {
    const tools = await toolsTree();
    folder = await mkdtemp(join(tmpdir(), 'kvci-boxed-'));
    docker = await startDockerDaemon();
    parts = { ...(await testVms(tools, folder)), sandboxes: testAllSandboxes(tools, folder, docker.socket) };
  });

  afterAll(async () => {
    await docker[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it('boots, is entered by SSH, shows its console, and goes with its sandbox', async () => {
    const disk = await nodeDisk('1.31');
    const sandbox = await startVmSandbox(parts, sandboxRequest('boxed', filesOfDisk(disk), { kind: 'container', keep: true }));
    expect(sandbox.record).toMatchObject({ kind: 'container', sandbox: { kind: 'container', engine: docker.socket } });
    const addresses = lanAddresses(LAN.families, 1);
    const memory = 2 * 2 ** 30;
    const wanted = { name: 'node01', addresses, cpus: 2, memory, disk, firmware: 'direct', acceleration: 'auto' } as const;
    await using vm = await startVm(parts, sandbox, { ...wanted, kernelArguments: [], hostKey: 'given' }, NEVER);
    const node = await vm.node(BOOT_MS, NEVER);
    const { stdout } = await node.run(['sh', '-c', 'uname -n; ip -brief address show scope global']);
    expect(stdout).toMatch(/^node01\n[^]*192\.168\.66\.101\/24 [^]*fd00::101\/128/);
    expect(await vm.console()).toContain('Linux version');
    (await vm.openConsole()).destroy();

    // As another process has it: by its record alone.
    const again = await findVmSandbox(parts, 'boxed');
    await using other = await openVm(parts, again, 'node01', again.record.machines['node01']!);
    expect((await (await other.node(BOOT_MS, NEVER)).run(['echo', 'there'])).stdout).toBe('there\n');

    await again.end();
    await vm.ended;
    expect(existsSync(sandbox.record.folder)).toBe(false);
    const containers = await connectContainers({ address: { transport: 'unix', path: docker.socket }, origin: 'test' });
    expect(await containers.list({ [SANDBOX_LABEL]: '' })).toEqual([]);
    await expect(findVmSandbox(parts, 'boxed')).rejects.toMatchObject({ code: 'machine-not-found' });
  });

  it('is a node of a cluster that was made with --sandbox container, also for other processes', async () => {
    const disk = await nodeDisk('1.36');
    const image: Digest = `sha256:${'0'.repeat(64)}`;
    const open = (sandbox?: SandboxKind): Machines =>
      vmMachines(parts, () => Promise.resolve(disk), {
        cluster: 'boxed',
        run: 'first',
        image,
        ...(sandbox === undefined ? {} : { sandbox }),
      });
    const node01: MachineSpec = { name: 'node01', addresses: lanAddresses(LAN.families, 1), memory: 2 ** 30, vm: WITHOUT_KUBERNETES };
    await using machines = open('container');
    await machines.network(LAN.families, NEVER);
    const node = await machines.start(node01, NEVER);
    await node.write([{ path: '/var/lib/kept', content: 'kept' }]);

    // By what is written down, whatever is asked for now.
    await using others = open();
    expect((await (await others.node('node01')).run(['hostname'])).stdout).toBe('node01\n');
    const { port } = await others.forward('ssh', [{ address: node01.addresses.ipv4 ?? '', port: 22 }], NEVER);
    expect(await greeting(port)).toMatch(/^SSH-/);
    (await (await others.terminal('node01')).openConsole()).destroy();
    await others.stop('node01', NEVER);
    expect(await others.list()).toEqual([{ name: 'node01', state: 'stopped' }]);
    expect((await (await others.start(node01, NEVER)).run(['cat', '/var/lib/kept'])).stdout).toBe('kept');
    await others.destroy();
    const containers = await connectContainers({ address: { transport: 'unix', path: docker.socket }, origin: 'test' });
    expect(await containers.list({ [SANDBOX_LABEL]: '' })).toEqual([]);
    expect(await others.list()).toEqual([]);
  });
});

describe.skipIf(withoutDocker)('a cluster of virtual machines in a sandbox that is a container', () => {
  let docker: DockerDaemon;

  beforeAll(async () => {
    docker = await startDockerDaemon();
    // Built as for whoever has no engine: this daemon has no network to build with.
    await nodeImage('1.31');
  });

  afterAll(() => docker[Symbol.asyncDispose]());

  clusterContract(
    {
      name: 'kvci-boxed',
      nodes: 2,
      families: ['ipv4'],
      flags: ['--provider', 'vm', '--sandbox', 'container'],
      image: () => Promise.resolve(['--k8s', process.env['KVCI_TEST_KUBERNETES'] ?? '1.31']),
      config: () => `engine: ${docker.socket}\nimage: { payload: modules }\n`,
      traces: withoutDaemon,
    },
    ({ on }) => {
      it('is of the version and in the engine that were asked for', async () => {
        expect(await on('node02', 'kubelet', '--version')).toContain(`v${process.env['KVCI_TEST_KUBERNETES'] ?? '1.31'}`);
        const containers = await connectContainers({ address: { transport: 'unix', path: docker.socket }, origin: 'test' });
        expect((await containers.list({ [SANDBOX_LABEL]: '' })).filter(({ running }) => running)).not.toEqual([]);
      });
    },
  );
});

/** The daemon keeps the group that its containers were in, and connections of its own; what watches a container goes a moment after it. */
async function withoutDaemon(): Promise<HostTraces> {
  let traces: HostTraces = {};
  await until(async () => {
    traces = await hostTraces();
    return !(traces['processes'] ?? []).some((command) => /containerd-shim.*kvci-docker-/.test(command));
  });
  const others = (kind: string): readonly string[] => (traces[kind] ?? []).filter((trace) => !trace.includes('kvci-docker-'));
  return { ...traces, groups: others('groups'), sockets: others('sockets') };
}
