import { parse, stringify } from 'yaml';
import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import type { HostPort } from '../machine/types.ts';
import { hostPort } from './addresses.ts';

/** An entry holds its name and, under its kind, what it says. */
const entries = z.array(z.looseObject({ name: z.string() })).nullish();

const kubeconfigSchema = z.looseObject({
  clusters: entries,
  users: entries,
  contexts: entries,
  'current-context': z.string().optional(),
});

type Kubeconfig = z.output<typeof kubeconfigSchema>;

/** Under which name a cluster stands in a kubeconfig. */
export function contextName(cluster: string): string {
  return `kvci-${cluster}`;
}

/** The administrator's kubeconfig of a control plane, for this host: another address, one name for everything, the same CA. */
export function hostKubeconfig(adminConf: string, cluster: string, api: HostPort): string {
  const config = readKubeconfig(adminConf, 'admin.conf');
  const name = contextName(cluster);
  const [certificate] = config.clusters ?? [];
  const [user] = config.users ?? [];
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name, cluster: { ...asObject(certificate?.['cluster']), server: `https://${hostPort(api.host, api.port)}` } }],
      users: [{ name, user: user?.['user'] }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name,
    },
    { lineWidth: 0 },
  );
}

/**
 * A kubeconfig of the user's with a cluster's entries in it, replaced where they were there, and its context the current one.
 *
 * @throws KvciError `kubeconfig-unreadable`
 */
export function mergeKubeconfig(into: string, own: string, path: string): string {
  const target = readKubeconfig(into, path);
  const added = readKubeconfig(own, 'kubeconfig of the cluster');
  const merged = (before: Kubeconfig['clusters'], more: Kubeconfig['clusters']): unknown[] => [
    ...(before ?? []).filter(({ name }) => !(more ?? []).some((entry) => entry.name === name)),
    ...(more ?? []),
  ];
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      ...target,
      clusters: merged(target.clusters, added.clusters),
      users: merged(target.users, added.users),
      contexts: merged(target.contexts, added.contexts),
      'current-context': added['current-context'],
    },
    { lineWidth: 0 },
  );
}

/** A kubeconfig without a cluster's entries; undefined when it has none of them. */
export function withoutCluster(text: string, cluster: string, path: string): string | undefined {
  const config = readKubeconfig(text, path);
  const name = contextName(cluster);
  const others = <T extends { readonly name: string }>(entries: readonly T[] | null | undefined): T[] =>
    (entries ?? []).filter((entry) => entry.name !== name);
  if (![config.clusters, config.users, config.contexts].some((entries) => entries?.some((entry) => entry.name === name))) return undefined;
  const { 'current-context': current, ...rest } = config;
  return stringify(
    {
      ...rest,
      clusters: others(config.clusters),
      users: others(config.users),
      contexts: others(config.contexts),
      ...(current === undefined || current === name ? {} : { 'current-context': current }),
    },
    { lineWidth: 0 },
  );
}

function readKubeconfig(text: string, path: string): Kubeconfig {
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    throw unreadable(path, error);
  }
  const parsed = kubeconfigSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw unreadable(path, parsed.error);
}

function unreadable(path: string, cause: unknown): KvciError {
  return new KvciError('usage', 'kubeconfig-unreadable', `${path} is no kubeconfig`, {
    hint: 'Mend or move the file, or use "kvci kubeconfig" without --merge.',
    facts: { file: path },
    cause,
  });
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}
