import type { Containers, Labels } from '../../host/engine/containers.ts';
import type { NodeHost } from './node-host.ts';

type Remover = Pick<NodeHost, 'sweep'> & { readonly containers: Pick<Containers, 'list' | 'remove' | RemovedByName> };
type RemovedByName = 'volumes' | 'removeVolume' | 'networks' | 'removeNetwork';

export async function removeContainers({ containers, sweep }: Remover, ids: readonly string[]): Promise<void> {
  await Promise.all(ids.map((id) => containers.remove(id)));
  if (ids.length > 0) await sweep(ids);
}

/** Removes what carries some labels, in an order in which nothing is in use any more; whatever is gone is gone. */
export async function removeLabelled(
  host: Remover,
  labels: Labels,
  condition: (of: { readonly labels: Labels }) => boolean = () => true,
): Promise<void> {
  const { containers } = host;
  await removeContainers(
    host,
    (await containers.list(labels)).filter(condition).map(({ id }) => id),
  );
  await Promise.all((await containers.volumes(labels)).filter(condition).map(({ name }) => containers.removeVolume(name)));
  await Promise.all((await containers.networks(labels)).filter(condition).map(({ name }) => containers.removeNetwork(name)));
}
