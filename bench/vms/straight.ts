import { hostPort } from '../../src/cluster/addresses.ts';
import { hostKubeconfig } from '../../src/cluster/kubeconfig.ts';
import { nodeName } from '../../src/cluster/spec.ts';
import { ADMIN_CONF, caHash } from '../../src/cluster/steps/init.ts';
import { setPodNetwork } from '../../src/cluster/steps/pod-network.ts';
import { EVERY_SECONDS, pauseImage } from '../../src/cluster/steps/probe.ts';
import { bootstrapToken, runId } from '../../src/cluster/tokens.ts';
import type { Digest } from '../../src/core/digest.ts';
import { lanAddresses, lanNetwork } from '../../src/machine/net/lan.ts';
import type { DiskSource } from '../../src/machine/qemu/disk-source.ts';
import { vmMachines } from '../../src/machine/qemu/vm-machines.ts';
import type { VmSandboxParts } from '../../src/machine/qemu/vm-sandbox.ts';
import type { NodeHandle } from '../../src/machine/types.ts';
import type { Acceleration } from '../../src/machine/vm-options.ts';
import { untilReady } from '../lib/until-ready.ts';
import { straightInit, straightJoin, type StraightNode } from './straight-config.ts';

/*
 * Two nodes the straight way, one thing after the other: boot the first, run init, boot the second, join it, wait. Machines, disk and
 * network are those that kvci takes, with the kernel started directly and the small initramfs, and the wait is the same; what differs is
 * what kvci does with them, and that the nodes are plain ones: containers are started by runc, keys are of RSA. What a killed run leaves
 * of it, `kvci prune` removes.
 */

export const STRAIGHT = 'kvci-bench-straight';

const API_PORT = 6443;
const FAMILIES = ['ipv4', 'ipv6'] as const;
/** What a node does because it is emulated is kvci's, and part of what is compared. */
const PLAIN = { kargs: ['systemd.mask=kvci-emulated.service'] };
const DEADLINE_MS = 40 * 60_000;

export interface StraightStep {
  readonly title: string;
  /** Seconds. */
  readonly took: number;
}

export interface StraightTimes {
  readonly steps: readonly StraightStep[];
  /** Seconds from the start of the first boot. */
  readonly nodesReady: number;
  readonly ready: number;
}

export interface StraightCluster {
  readonly disk: DiskSource;
  readonly image: Digest;
  /** Without `v`. */
  readonly kubernetes: string;
  readonly acceleration: Acceleration;
  readonly nodes: number;
  /** Of each node. */
  readonly cpus: number;
  /** Bytes of each node. */
  readonly memory: number;
}

/** Throws what a step throws; nothing of the cluster stays. */
export async function timeStraight(vms: VmSandboxParts, wanted: StraightCluster): Promise<StraightTimes> {
  const { disk, image, kubernetes, acceleration, nodes, cpus, memory } = wanted;
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const steps: StraightStep[] = [];
  const step = async <T>(title: string, work: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const result = await work();
    steps.push({ title, took: (performance.now() - started) / 1000 });
    return result;
  };
  const spec = { cluster: STRAIGHT, run: runId(), image, acceleration };
  await using machines = vmMachines(vms, () => Promise.resolve(disk), spec);
  const network = lanNetwork(FAMILIES);
  const token = bootstrapToken().reveal();
  const started = Date.now();
  const control = straightNode(1);
  const workers = Array.from({ length: nodes - 1 }, (_, at) => straightNode(at + 2));
  const all = [control, ...workers];
  const boot = async ({ name, index, addresses }: IndexedNode): Promise<NodeHandle> => {
    const handle = await machines.start({ name, addresses, cpus, memory, vm: PLAIN }, signal);
    await handle.run(['systemctl', 'is-system-running', '--wait'], { accept: [1], signal });
    await setPodNetwork(handle, index, all, network, FAMILIES, signal);
    return handle;
  };
  const kubeadm = async (handle: NodeHandle, command: string, config: string): Promise<void> => {
    await handle.write([{ path: '/etc/kubernetes/straight.yaml', content: config, mode: 0o600 }], signal);
    await handle.run(['kubeadm', command, '--config', '/etc/kubernetes/straight.yaml'], { signal });
  };
  try {
    await step('network', () => machines.network(FAMILIES, signal));
    const first = await step('boot node01', () => boot(control));
    await step('kubeadm init', () => kubeadm(first, 'init', straightInit(kubernetes, control, token)));
    const endpoint = hostPort(control.addresses.ipv4, API_PORT);
    const hash = await caHash(first, signal);
    for (const worker of workers) {
      const handle = await step(`boot ${worker.name}`, () => boot(worker));
      await step(`kubeadm join ${worker.name}`, () => kubeadm(handle, 'join', straightJoin(endpoint, worker, token, hash)));
    }
    const { nodesReady, ready } = await step('wait until Ready', async () => {
      const api = await machines.forward('api', [{ address: control.addresses.ipv4, port: API_PORT }], signal);
      const kubeconfig = hostKubeconfig((await first.run(['cat', ADMIN_CONF], { signal })).stdout, STRAIGHT, api);
      const { stdout } = await first.run(['cat', '/usr/lib/kvci/images.list'], { signal });
      const names = all.map(({ name }) => name);
      // As often as kvci has emulated nodes look.
      return untilReady(kubeconfig, { image: pauseImage(stdout), everySeconds: EVERY_SECONDS.emulated }, names, signal);
    });
    return { steps, nodesReady: (nodesReady - started) / 1000, ready: (ready - started) / 1000 };
  } finally {
    await machines.destroy();
  }
}

interface IndexedNode extends StraightNode {
  readonly index: number;
}

function straightNode(index: number): IndexedNode {
  const { ipv4 = '', ipv6 = '' } = lanAddresses(FAMILIES, index);
  return { name: nodeName(index), index, addresses: { ipv4, ipv6 } };
}
