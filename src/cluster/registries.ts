import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { hasErrno, KvciError } from '../core/errors.ts';
import { REGISTRY_NAME } from '../machine/net/registry-name.ts';
import { registryFiles, type RegistrySettings } from '../machine/cri/registries.ts';
import type { NodeAddresses, NodeHandle } from '../machine/types.ts';
import type { ClusterOptions } from './options.ts';
import type { ClusterPorts } from './ports.ts';
import { ALL_MIRRORS, REGISTRY_HOST } from './registry-options.ts';
import type { ClusterState } from './state.ts';

/** PEM certificates by the host of references whose registry they are for; {@link ALL_MIRRORS} for whatever is a mirror. */
export type Trusted = Readonly<Record<string, string>>;

/**
 * The certificates that options name, read once: nodes that are added later get the same.
 *
 * @throws KvciError `ca-missing`, `ca-unreadable`, `ca-no-certificate`
 */
export async function readTrusted({ cas }: Pick<ClusterOptions, 'cas'>): Promise<Trusted> {
  return Object.fromEntries(
    await Promise.all(Object.entries(cas).map(async ([host, path]) => [host, await readCertificates(path)] as const)),
  );
}

async function readCertificates(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT', 'ENOTDIR'))
      throw new KvciError('notFoundOrExists', 'ca-missing', `--ca: there is no file ${path}`, { facts: { path }, cause: error });
    if (hasErrno(error, 'EACCES', 'EISDIR'))
      throw new KvciError('usage', 'ca-unreadable', `--ca: ${path} cannot be read (${error.code ?? ''})`, {
        facts: { path },
        cause: error,
      });
    throw error;
  }
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  try {
    if (certificates.length === 0) throw new Error('it has no "BEGIN CERTIFICATE"');
    // Nothing but certificates goes to nodes: a file may have a key beside them.
    return certificates.map((pem) => new X509Certificate(pem).toString()).join('');
  } catch (error) {
    throw new KvciError('usage', 'ca-no-certificate', `--ca: ${path} holds no certificate in PEM: ${(error as Error).message}`, {
      facts: { path },
      cause: error,
    });
  }
}

/** What nodes of a cluster are told of registries. */
export function registrySettings(
  { registry, mirrors }: Pick<ClusterOptions, 'registry' | 'mirrors'>,
  trusted: Trusted,
): readonly RegistrySettings[] {
  const { [ALL_MIRRORS]: ofMirrors, ...own } = trusted;
  const hosts = [...new Set([...Object.keys(mirrors), ...Object.keys(own)])].toSorted();
  return [
    ...(registry === true ? [{ host: REGISTRY_HOST, plain: true }] : []),
    ...hosts.map((host) => {
      const [url, ca] = [mirrors[host], own[host]];
      // Whoever signs for a registry does so for its mirror, and not the other way round.
      const both = [ca, ofMirrors].filter((pem) => pem !== undefined).join('');
      const mirror = url === undefined ? {} : { mirror: { url, ...(both === '' ? {} : { ca: both }) } };
      return { host, ...mirror, ...(ca === undefined ? {} : { ca }) };
    }),
  ];
}

/** Starts the registry of a cluster that wants one, or finds it. Its state is on disk: nobody ends it meanwhile. */
export async function ensureRegistry(
  { options }: Pick<ClusterState, 'options'>,
  ports: Pick<ClusterPorts, 'registry'>,
  signal: AbortSignal,
): Promise<number | undefined> {
  return options.registry === true ? (await ports.registry()).ensure(signal) : undefined;
}

/** Ends the registry with the last cluster that has it. Answers whether it is gone now. */
export async function releaseRegistry({ registry, states }: Pick<ClusterPorts, 'registry' | 'states'>): Promise<boolean> {
  const isNeeded = async (): Promise<boolean> => {
    // One whose state cannot be read may need it.
    const found = await Promise.all((await states.names()).map((name) => states.find(name).catch(() => 'unreadable' as const)));
    return found.some((state) => state === 'unreadable' || state?.options.registry === true);
  };
  return (await registry()).release(isNeeded);
}

/** Nodes look the registry up by name; an engine writes the file anew at each start of a container, over which nothing can be renamed. */
const NAME = `for address; do grep -q "^$address ${REGISTRY_NAME}$" /etc/hosts || echo "$address ${REGISTRY_NAME}" >>/etc/hosts; done`;

/** CRI-O reads its registries when it is told to; containerd at each pull. */
const TELL = 'if [ -e /etc/crio/crio.conf.d ]; then systemctl reload-or-restart crio; fi';

/** Tells a node of registries. @param registry addresses at which it finds the one beside it */
export async function setRegistries(
  node: NodeHandle,
  settings: readonly RegistrySettings[],
  registry: NodeAddresses | undefined,
  signal: AbortSignal,
): Promise<void> {
  const addresses = [registry?.ipv4, registry?.ipv6].filter((address) => address !== undefined);
  if (addresses.length > 0) await node.run(['sh', '-c', NAME, 'sh', ...addresses], { signal });
  if (settings.length === 0) return;
  const { exitCode } = await node.run(['test', '-e', '/etc/containerd/config.toml'], { accept: [1], signal });
  const runtime = exitCode === 0 ? 'containerd' : 'cri-o';
  await node.write(registryFiles(runtime, settings), signal);
  if (runtime === 'cri-o') await node.run(['sh', '-c', TELL], { signal });
}
