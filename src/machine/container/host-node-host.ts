import { hexOf } from '../../core/digest.ts';
import { KvciError } from '../../core/errors.ts';
import type { Containers } from '../../host/engine/containers.ts';
import type { ContainerEngine } from '../../host/types.ts';
import { saveArchive } from '../../oci/archive-save.ts';
import type { ImageLayout } from '../../oci/layout.ts';
import { requireManifest } from '../../oci/manifests.ts';
import type { ForwardTarget, HostPort } from '../types.ts';
import { CLUSTER_LABEL } from './labels.ts';
import type { Forwards, NodeHost } from './node-host.ts';

export interface HostNodeHostParts {
  readonly engine: ContainerEngine;
  /** Of the same engine. */
  readonly containers: Containers;
  readonly layout: () => Promise<ImageLayout>;
  /** Whether the engine's host, which may be another one, has kernel modules at their usual place. */
  readonly modules: boolean;
}

/** Where a node's API server listens: what is reached from the host is published when the node is made. */
const API_PORT = 6443;

/** An engine of the host, Docker or Podman: others use it too, and its networks are the host's own. */
export function hostNodeHost({ engine, containers, layout, modules }: HostNodeHostParts): NodeHost {
  const imageName: NodeHost['imageName'] = (image) => `localhost/kvci/node:${hexOf(image)}`;
  return {
    containers,
    own: false,
    imageName,
    hasImage: (image) => engine.hasImage(imageName(image)),
    bringImage: async (image, onLine, signal) => {
      const store = await layout();
      const manifest = await requireManifest(store, image);
      onLine(`loading ${imageName(image)} into ${containers.info.name}`);
      // Docker before 23 reads no zstd, and unpacks at once whatever it gets.
      const layers = containers.info.name === 'podman' ? 'as-is' : 'none';
      await engine.load(saveArchive(store, manifest, { refs: [imageName(image)], layers }), signal);
    },
    // Which ranges are taken only the engine knows: it refuses those that are.
    takenRanges: () => Promise.resolve([]),
    publish: [API_PORT],
    binds: modules ? [{ host: '/lib/modules', inside: '/lib/modules' }] : [],
    limits: true,
    sweep: () => Promise.resolve(),
    forwards: (cluster) => publishedForwards(containers, cluster),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/** What is published leads to one node. */
function publishedForwards(containers: Containers, cluster: string): Forwards {
  return {
    balance: () => Promise.reject(noBalancer(containers)),
    forward: async (_name, targets) => {
      const [target, ...others] = targets;
      if (target === undefined || others.length > 0) throw noBalancer(containers);
      return published(target, containers, cluster);
    },
    // It goes with the containers.
    remove: () => Promise.resolve(),
  };
}

async function published({ address, port }: ForwardTarget, containers: Containers, cluster: string): Promise<HostPort> {
  for (const { addresses, published: ports } of await containers.list({ [CLUSTER_LABEL]: cluster })) {
    const found = Object.values(addresses).some((own) => sameAddress(own, address)) ? ports.get(port) : undefined;
    if (found !== undefined) return { host: '127.0.0.1', port: found };
  }
  throw new KvciError('failed', 'port-not-published', `no running node publishes port ${port} of ${address}`, {
    hint: "Ports other than the API's are reached only with kvci's own engine: leave out the setting that names another.",
  });
}

/** IPv6 has several ways to write an address. */
function sameAddress(one: string, other: string): boolean {
  const normal = (address: string): string => (address.includes(':') ? new URL(`http://[${address}]`).hostname : address);
  return normal(one) === normal(other);
}

function noBalancer({ info }: Containers): KvciError {
  return new KvciError(
    'hostNotReady',
    'no-balancer',
    `several control planes need a load balancer, which kvci has only in its own engine`,
    {
      hint: `Leave out the setting that names ${info.name}, or ask for one control plane.`,
    },
  );
}
