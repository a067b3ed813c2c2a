import { KvciError } from '../../core/errors.ts';
import { compareNames } from '../../core/names.ts';
import { lastLines } from '../../host/command-error.ts';
import type { ContainerInfo } from '../../host/engine/containers.ts';
import type { EngineInfo } from '../../host/types.ts';
import type { MachineNetwork, Machines, MachineSpec, MachinesSpec, NodeHandle } from '../types.ts';
import { containerNode, type ContainerNodeParts } from './container-node.ts';
import { CLUSTER_LABEL, clusterLabels, NODE_LABEL, resourceName, RUN_LABEL } from './labels.ts';
import type { NodeHost } from './node-host.ts';
import { freeRanges } from './ranges.ts';
import { removeContainers, removeLabelled } from './remove.ts';

/** What systemd gets to stop its services before it is killed: more than the kubelet's own 10 s for its pods. */
const STOP_SECONDS = 30;

/** Until the entrypoint has made way for systemd a node has no settings of its own, and nobody to ask for services. */
const AWAIT_SYSTEMD = ['sh', '-c', 'until [ -S /run/systemd/private ]; do sleep 0.05; done'] as const;

/** A deadline for a hang: it takes a second, and several when many nodes start on a slow disk. */
const START_DEADLINE_MS = 120_000;

/** How often other ranges are tried when somebody takes those that were free a moment ago. */
const NETWORK_ATTEMPTS = 8;

/** The machines of a cluster as containers of an engine. Letting go of them lets go of the engine. */
export function containerMachines(parts: Omit<ContainerNodeParts, 'containers'>, host: NodeHost, spec: MachinesSpec): Machines {
  const { containers, publishAt } = host;
  const labels = clusterLabels(spec);
  const forwards = host.forwards(spec);
  const networkName = resourceName(spec.cluster);
  /** What is to go: in an engine that others use too, nothing of another life of the cluster. */
  const reach = host.own ? { [CLUSTER_LABEL]: spec.cluster } : labels;

  const handleOf = (info: ContainerInfo, name: string): NodeHandle =>
    containerNode({ ...parts, containers }, { id: info.id, name, addresses: info.addresses });

  const find = async (name: string): Promise<ContainerInfo | undefined> => (await containers.list({ ...labels, [NODE_LABEL]: name }))[0];

  const network = async (): Promise<MachineNetwork | undefined> => {
    const [found] = await containers.networks(labels);
    return found === undefined ? undefined : networkOf(found.ranges);
  };

  const create = async ({ name, addresses, cpus, memory, publish = [] }: MachineSpec, signal: AbortSignal): Promise<ContainerInfo> => {
    const own = { ...(await host.labels()), ...labels, [NODE_LABEL]: name };
    const volume = `${resourceName(spec.cluster, name)}-var`;
    await containers.createVolume(volume, own);
    await containers.create(
      {
        name: resourceName(spec.cluster, name),
        hostname: name,
        image: host.imageName(spec.image),
        labels: own,
        env: {},
        privileged: true,
        network: { name: networkName, ...addresses },
        tmpfs: ['/run', '/tmp'],
        binds: host.binds,
        volumes: [{ name: volume, inside: '/var' }],
        publish: publishAt === undefined ? [] : publish.map(({ port, hostPort }) => ({ inside: port, host: hostPort, address: publishAt })),
        ...(cpus === undefined || !host.limits ? {} : { cpus }),
        ...(memory === undefined || !host.limits ? {} : { memory }),
      },
      signal,
    );
    return required(await find(name), name);
  };

  const startPrivileged = async (id: string, signal: AbortSignal): Promise<void> => {
    try {
      await containers.start(id, signal);
    } catch (error) {
      throw host.own ? error : unlessPermitted(error, containers.info);
    }
  };

  return {
    network: async (families, signal) => {
      const found = await network();
      if (found !== undefined) return found;
      if (host.own) await removeLabelled(host, reach, (item) => item.labels[RUN_LABEL] !== spec.run);
      const own = { ...(await host.labels()), ...labels };
      const tried: string[] = [...(await host.takenRanges()), ...(await containers.networks({})).flatMap(({ ranges }) => ranges)];
      for (let attempt = 1; ; attempt += 1) {
        signal.throwIfAborted();
        const ranges = freeRanges(families, tried);
        try {
          await containers.createNetwork({ name: networkName, labels: own, ...ranges });
          return ranges;
        } catch (error) {
          if (!(error instanceof KvciError) || error.code !== 'network-taken' || attempt === NETWORK_ATTEMPTS) throw error;
          tried.push(...[ranges.ipv4, ranges.ipv6].filter((range) => range !== undefined));
        }
      }
    },
    // A container takes what it needs and no more.
    schedule: () => Promise.resolve('together'),
    start: async (machine, signal) => {
      const { name } = machine;
      const info = (await find(name)) ?? (await create(machine, signal));
      if (!info.running) await startPrivileged(info.id, signal);
      const node = handleOf({ ...info, addresses: machine.addresses }, name);
      try {
        await node.run(AWAIT_SYSTEMD, { signal, timeoutMs: START_DEADLINE_MS });
      } catch (error) {
        const found = required(await find(name), name);
        if (!found.running && !signal.aborted) throw await ended(name, found, () => containers.logs(found.id));
        throw error;
      }
      return node;
    },
    node: async (name) => {
      const info = required(await find(name), name);
      if (!info.running) {
        throw new KvciError('notFoundOrExists', 'node-stopped', `the node ${name} of cluster ${spec.cluster} does not run`, {
          hint: `Start the cluster again: kvci start ${spec.cluster}`,
        });
      }
      return handleOf(info, name);
    },
    list: async () => {
      const found = await containers.list(labels);
      return found
        .flatMap(({ labels: own, running }) => {
          const name = own[NODE_LABEL];
          return name === undefined ? [] : [{ name, state: running ? ('running' as const) : ('stopped' as const) }];
        })
        .toSorted((a, b) => compareNames(a.name, b.name));
    },
    stop: async (name) => {
      await containers.stop(required(await find(name), name).id, STOP_SECONDS);
    },
    remove: async (name) => {
      const own = { ...labels, [NODE_LABEL]: name };
      await removeContainers(
        host,
        (await containers.list(own)).map(({ id }) => id),
      );
      for (const volume of await containers.volumes(own)) await containers.removeVolume(volume.name);
    },
    console: async (name) => containers.logs(required(await find(name), name).id),
    terminal: (name) => {
      const error = new KvciError('usage', 'no-terminal', `${name} is a container: nobody listens at its console`, {
        hint: `"kvci ssh ${name}" enters it, "kvci logs ${name}" shows what it says.`,
      });
      return Promise.reject(error);
    },
    balance: async (port, targets, signal, hostPort) =>
      forwards.balance(required(await network(), 'network'), port, targets, signal, hostPort),
    reach: async (port, hostPort, signal) => forwards.reach(required(await network(), 'network'), port, hostPort, signal),
    forward: (name, targets, signal, wanted) => forwards.forward(name, targets, signal, wanted),
    rest: () => forwards.rest(),
    destroy: async () => {
      await forwards.remove();
      await removeLabelled(host, reach);
    },
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}

function networkOf(ranges: readonly string[]): MachineNetwork {
  const ipv4 = ranges.find((range) => !range.includes(':'));
  const ipv6 = ranges.find((range) => range.includes(':'));
  return { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
}

function required<T>(found: T | undefined, name: string): T {
  if (found !== undefined) return found;
  throw new KvciError('notFoundOrExists', 'node-not-found', `there is no ${name === 'network' ? 'network' : `node ${name}`}`, {
    hint: 'List what there is with "kvci status".',
  });
}

/** A node that ends at once says why on its console. */
async function ended(name: string, info: ContainerInfo, console: () => Promise<string>): Promise<KvciError> {
  return new KvciError(
    'failed',
    'node-ended',
    `the node ${name} ended as soon as it was started, with exit code ${info.exitCode ?? 0}:\n${lastLines(await console())}`,
    { facts: { node: name, exitCode: info.exitCode ?? null } },
  );
}

/** An engine without all rights of a host (in a container itself, or rootless without a group of its own) refuses what a node is. */
function unlessPermitted(error: unknown, { name, origin }: EngineInfo): unknown {
  if (!(error instanceof KvciError) || !/operation not permitted|permission denied/i.test(error.message)) return error;
  return new KvciError(
    'hostNotReady',
    'engine-unprivileged',
    `${name} (${origin}) may not start privileged containers, which nodes are: ${error.message}`,
    {
      hint: 'Leave out the setting that names the engine: kvci then starts Podman itself, in a user namespace of its own.',
      cause: error,
    },
  );
}
