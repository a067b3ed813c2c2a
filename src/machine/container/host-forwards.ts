import { Readable } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import { lastLines } from '../../host/command-error.ts';
import type { ContainerInfo, ContainerRequest, Containers, Labels } from '../../host/engine/containers.ts';
import { OutputText } from '../../host/output-text.ts';
import type { ContainerEngine } from '../../host/types.ts';
import type { ForwardTarget, MachineNetwork, MachinesSpec, NodeAddresses } from '../types.ts';
import { innerConfig, NO_ROUTES } from './haproxy.ts';
import { BALANCER_IMAGE } from './host-images.ts';
import { clusterLabels, resourceName } from './labels.ts';
import type { Forwards } from './node-host.ts';
import { balancerOf } from './ranges.ts';

/** What tells the load balancer of a cluster from its nodes. */
const PART_LABEL = 'io.kvci.run/part';
const BALANCER = 'balancer';

/** What the load balancer is made of, as the tools image has it. */
export const BALANCER_PROGRAMS = ['/usr/sbin/haproxy', '/usr/bin/sh', '/usr/bin/cat', '/usr/bin/mv', '/usr/bin/sleep'];

const PATH = '/usr/sbin:/usr/bin';

/** The configuration comes once the container runs, and stays in it. In master mode the first process takes another one by a signal. */
const SERVE = 'until [ -s /haproxy.cfg ]; do sleep 0.05; done; exec haproxy -W -db -f /haproxy.cfg';
const RELOAD = `cat >/new.cfg && haproxy -c -q -f /new.cfg && mv /new.cfg /haproxy.cfg
if read -r name </proc/1/comm && [ "$name" = haproxy ]; then kill -USR2 1; fi`;

export interface HostForwardsParts {
  readonly engine: Pick<ContainerEngine, 'hasImage' | 'importRoot'>;
  readonly containers: Containers;
  /** A root with {@link BALANCER_PROGRAMS}. */
  readonly balancerRoot: (signal: AbortSignal) => Promise<Readable>;
  /** What all that is made carries beside those of its cluster. */
  readonly labels: () => Promise<Labels>;
  /** The address of the engine's host at which ports are published. */
  readonly publishAt: string;
}

/** What a load balancer gets to end its connections before it is killed. */
const STOP_SECONDS = 5;

/**
 * Ways into the network of nodes in an engine of a host, for that host: what is published when a container is made leads to that one. A
 * cluster with several control planes has one more container, a load balancer, which publishes the API's port for all.
 */
export function hostForwards(parts: HostForwardsParts, spec: MachinesSpec): Forwards {
  const { engine, containers, balancerRoot, publishAt } = parts;
  const labels = clusterLabels(spec);
  const own = { ...labels, [PART_LABEL]: BALANCER };

  const create = async (addresses: NodeAddresses, publish: ContainerRequest['publish'], signal: AbortSignal): Promise<ContainerInfo> => {
    if (!(await engine.hasImage(BALANCER_IMAGE))) await engine.importRoot(await balancerRoot(signal), BALANCER_IMAGE, signal);
    await containers.create(
      {
        name: resourceName(spec.cluster, BALANCER),
        hostname: BALANCER,
        image: BALANCER_IMAGE,
        labels: { ...(await parts.labels()), ...own },
        env: { PATH },
        command: ['/usr/bin/sh', '-c', SERVE],
        privileged: false,
        network: { name: resourceName(spec.cluster), ...addresses },
        tmpfs: [],
        binds: [],
        volumes: [],
        publish,
      },
      signal,
    );
    return one(containers, own);
  };

  return {
    balance: async (network, port, targets, signal, hostPort) => {
      const addresses = balancerAddresses(network);
      const [found] = await containers.list(own);
      const publish = hostPort === undefined ? [] : [{ inside: port, host: hostPort, address: publishAt }];
      const { id, running } = found ?? (await create(addresses, publish, signal));
      if (!running) await startAtPort(containers, id, signal);
      const config = innerConfig({ ...NO_ROUTES, balances: { [port]: { addresses: Object.values(addresses), targets } } }, '/');
      await configure(containers, id, config ?? '', signal);
      return addresses;
    },
    // This host's loopback is not theirs, and an engine publishes in the other direction only.
    reach: () =>
      Promise.reject(
        new KvciError(
          'usage',
          'not-reachable-from-nodes',
          `nodes in ${containers.info.name} (${containers.info.origin}) reach no port of this host's loopback`,
          {
            hint: "Have the nodes in kvci's own engine: --engine embedded.",
          },
        ),
      ),
    forward: async (_name, targets) => {
      const [target] = targets;
      // It stays where one control plane is left of several: nodes of such a cluster publish nothing.
      const [balancer] = await containers.list(own);
      return { host: publishAt, port: published(balancer ?? (await nodeOf(target, labels, containers)), target) };
    },
    rest: async () => {
      for (const { id } of await containers.list(own)) await containers.stop(id, STOP_SECONDS);
    },
    // It goes with the containers.
    remove: () => Promise.resolve(),
  };
}

/** It holds nothing: where its port is taken, it is made anew, at another one where its cluster may have that. */
async function startAtPort(containers: Containers, id: string, signal: AbortSignal): Promise<void> {
  try {
    await containers.start(id, signal);
  } catch (error) {
    if (error instanceof KvciError && error.code === 'port-taken') await containers.remove(id);
    throw error;
  }
}

function balancerAddresses({ ipv4, ipv6 }: MachineNetwork): NodeAddresses {
  return { ...(ipv4 === undefined ? {} : { ipv4: balancerOf(ipv4) }), ...(ipv6 === undefined ? {} : { ipv6: balancerOf(ipv6) }) };
}

async function configure(containers: Containers, id: string, config: string, signal: AbortSignal): Promise<void> {
  const said = new OutputText({ keep: true });
  const code = await containers.exec(id, {
    argv: ['/usr/bin/sh', '-c', RELOAD],
    env: { PATH },
    stdin: Readable.from([Buffer.from(config)]),
    stdout: said,
    stderr: said,
    signal,
  });
  if (code === 0) return;
  throw new KvciError('failed', 'balancer-failed', `the load balancer did not take its configuration:\n${lastLines(said.text)}`);
}

async function one(containers: Containers, labels: Labels): Promise<ContainerInfo> {
  const [found] = await containers.list(labels);
  if (found !== undefined) return found;
  throw new KvciError('failed', 'no-balancer', 'the load balancer of the cluster is gone', { hint: 'Make it again with "kvci up".' });
}

async function nodeOf(target: ForwardTarget | undefined, labels: Labels, containers: Containers): Promise<ContainerInfo | undefined> {
  if (target === undefined) return undefined;
  const all = await containers.list(labels);
  return all.find(({ addresses }) => Object.values(addresses).some((address) => sameAddress(address, target.address)));
}

function published(info: ContainerInfo | undefined, target: ForwardTarget | undefined): number {
  const found = target === undefined ? undefined : info?.published.get(target.port);
  if (found !== undefined) return found;
  throw new KvciError('failed', 'port-not-published', `no running container of the cluster publishes port ${target?.port ?? 'of none'}`, {
    hint: 'Start the cluster again with "kvci up".',
  });
}

/** IPv6 has several ways to write an address. */
function sameAddress(one: string, other: string): boolean {
  const normal = (address: string): string => (address.includes(':') ? new URL(`http://[${address}]`).hostname : address);
  return normal(one) === normal(other);
}
