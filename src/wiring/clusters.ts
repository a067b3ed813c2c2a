import { join } from 'node:path';

import type { ClusterService, ServiceSettings } from '../cli/services.ts';
import type { ClusterOptions } from '../cluster/options.ts';
import type { ClusterPorts } from '../cluster/ports.ts';
import type { RunContext } from '../core/plan.ts';
import { type Environment, type HostParts, once } from './host.ts';
import { type ImageParts, imageParts, imageService } from './images.ts';
import { attachedStreams } from './streams.ts';

export async function clusterService(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  run: RunContext,
): Promise<ClusterService> {
  const { createClusterService } = await import('../cli/cluster-service.ts');
  const { tarStreamTar } = await import('../host/adapters/tar-stream-tar.ts');
  const images = once(() => imageParts(environment, settings, host, run));
  const service = createClusterService({
    ports: await clusterPorts(environment, settings, host, images, run),
    image: once(async () => imageService(environment, settings, host, run, await images())),
    acquire: images,
    streams: attachedStreams,
    pipes: () => ({ stdin: process.stdin, stdout: process.stdout }),
    tar: tarStreamTar,
    userKubeconfig: userKubeconfig(environment, host.home),
  });
  return {
    ...service,
    up: async (wanted, flags, context) => {
      // What an image takes of the host, making it prepares by itself.
      if (settings.setup && (await mayHaveVms(wanted.options))) {
        const { prepareForVms } = await import('./qemu.ts');
        await prepareForVms(environment, settings, host, run);
      }
      return service.up(wanted, flags, context);
    },
  };
}

export async function clusterPorts(
  environment: Environment,
  settings: ServiceSettings,
  host: HostParts,
  images: () => Promise<ImageParts>,
  run: RunContext,
): Promise<ClusterPorts> {
  const { ClusterStates } = await import('../cluster/state.ts');
  const { RunRecords } = await import('../host/run-records.ts');
  const { memoryAvailable } = await import('../host/memory.ts');
  const { cpuPressure } = await import('../host/pressure.ts');
  return {
    states: new ClusterStates(host.directories),
    locks: host.locks,
    secrets: settings.secrets,
    directories: host.directories,
    records: new RunRecords(host.directories, run.clock, settings.sinks),
    downloads: async () => (await images()).downloads,
    memoryAvailable,
    cpuPressure,
    kvm: async (image, context) => {
      const { kvmHere } = await import('../machine/qemu/kvm-here.ts');
      return kvmHere(
        host.directories.state,
        async () => {
          const digest = await image();
          const { vms, disks } = await vmParts(environment, settings, host, await images(), context);
          return { vms, disk: await disks.make(digest, () => undefined, context.signal) };
        },
        context.signal,
      );
    },
    sandboxEngine: async (kind, choice) => {
      if (kind === 'namespaces') return undefined;
      const { engineForSandboxes } = await import('./sandboxes.ts');
      return { transport: 'unix', path: await engineForSandboxes(choice, environment, host) };
    },
    registry: once(async () => {
      const { localRegistry } = await import('./registry.ts');
      return localRegistry(host, (await images()).sandboxes);
    }),
    loadApi: async () => {
      await import('../host/adapters/kubernetes-client.ts');
    },
    api: async (kubeconfig) => {
      const { kubernetesClient } = await import('../host/adapters/kubernetes-client.ts');
      return kubernetesClient(kubeconfig);
    },
    engine: async (choice, nodes, context) => {
      const { engineForNodes } = await import('./engine-for-nodes.ts');
      return engineForNodes(choice, nodes, environment, host, context);
    },
    leadAgain: async (cluster, signal) => {
      const { sshForwards } = await import('./machines.ts');
      await (await sshForwards(host)).again(cluster, signal);
    },
    provider: async (name, engine) => {
      const parts = await images();
      if (name === 'vm') {
        // In sandboxes of their own.
        const { vmProvider } = await import('../machine/qemu/vm-provider.ts');
        return vmProvider(await vmParts(environment, settings, host, parts, run));
      }
      const { containerMachineProvider, openOwnEngine } = await import('./machines.ts');
      const containers = { host, sandboxes: parts.sandboxes, layout: () => parts.layout() };
      if (name === 'kind') return containerMachineProvider({ ...containers, engine }, run);
      // Both kinds in the sandbox of kvci's own engine.
      const { mixedProvider } = await import('../machine/mixed/mixed-provider.ts');
      const own = { ...containers, engine: undefined };
      return mixedProvider({
        ...(await vmParts(environment, settings, host, parts, run)),
        containers: await containerMachineProvider(own, run),
        openEngine: () => openOwnEngine(own, run),
      });
    },
  };
}

/** Some node is to be a virtual machine, or `auto` may take them. */
async function mayHaveVms(options: ClusterOptions): Promise<boolean> {
  const { clusterProvider } = await import('../cluster/spec.ts');
  const { deviceState } = await import('../machine/qemu/checks.ts');
  return clusterProvider(options) !== 'kind' || (options.provider === 'auto' && (await deviceState('/dev/kvm')) === 'usable');
}

/** What makes nodes that are virtual machines. */
async function vmParts(environment: Environment, settings: ServiceSettings, host: HostParts, images: ImageParts, run: RunContext) {
  const { vmDisks } = await import('./disk.ts');
  const { vmSandboxParts } = await import('./qemu.ts');
  return {
    vms: await vmSandboxParts(host, images.sandboxes, run),
    disks: await vmDisks(environment, settings, host, images, run),
    signal: run.signal,
  };
}

/** Where kubectl looks: the first file of KUBECONFIG, else its usual place. */
function userKubeconfig(environment: Environment, home: string): string {
  return environment['KUBECONFIG']?.split(':').find((path) => path !== '') ?? join(home, '.kube', 'config');
}
