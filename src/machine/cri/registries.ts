import type { NodeFile } from '../types.ts';
import type { ContainerRuntime } from './types.ts';

/** How nodes get the images of a registry. */
export interface RegistrySettings {
  /** As references name it: `docker.io`, `registry.example:5000`. */
  readonly host: string;
  /** Where it is asked by plain HTTP. */
  readonly plain?: boolean;
  /** What is asked first: an http(s) address, whose path is a folder of repositories there. */
  readonly mirror?: { readonly url: string; readonly ca?: string };
  /** PEM certificates that its certificate may be signed by, beside those that the node trusts anyway. */
  readonly ca?: string;
}

/** containerd reads this folder at each pull; `config_path` of its configuration names it. */
const CONTAINERD = '/etc/containerd/certs.d';

/** Docker Hub's API has a host of its own. */
const API_HOSTS: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

/** The files by which a runtime knows registries, each in the runtime's own form. */
export function registryFiles(runtime: ContainerRuntime, registries: readonly RegistrySettings[]): readonly NodeFile[] {
  if (registries.length === 0) return [];
  return runtime === 'containerd' ? registries.flatMap(hostsFiles) : crioFiles(registries);
}

/** https://github.com/containerd/containerd/blob/main/docs/hosts.md */
function hostsFiles({ host, plain = false, mirror, ca }: RegistrySettings): readonly NodeFile[] {
  const folder = `${CONTAINERD}/${host}`;
  const server = `${plain ? 'http' : 'https'}://${API_HOSTS[host] ?? host}`;
  const trusts = (file: NodeFile | undefined): readonly string[] => (file === undefined ? [] : [`ca = ${JSON.stringify(file.path)}`]);
  const own = ca === undefined ? undefined : { path: `${folder}/ca.crt`, content: ca };
  const theirs = mirror?.ca === undefined ? undefined : { path: `${folder}/mirror.crt`, content: mirror.ca };
  const asked = mirror === undefined ? (plain ? [server] : []) : [mirrorServer(mirror.url)];
  const hosts = asked.flatMap((url) => {
    // An address with a path is taken whole, without the "/v2" that is added to others.
    const whole = new URL(url).pathname === '/' ? [] : ['override_path = true'];
    return ['', `[host.${JSON.stringify(url)}]`, 'capabilities = ["pull", "resolve"]', ...whole, ...trusts(theirs)];
  });
  const content = `${[`server = ${JSON.stringify(server)}`, ...trusts(own), ...hosts].join('\n')}\n`;
  return [{ path: `${folder}/hosts.toml`, content }, ...[own, theirs].filter((file) => file !== undefined)];
}

function mirrorServer(mirror: string): string {
  const { origin, pathname } = new URL(mirror);
  const path = pathname.replace(/\/+$/, '');
  return path === '' ? origin : `${origin}/v2${path}`;
}

/**
 * https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md and containers-certs.d.5.md beside it: a
 * certificate is that of the host that is spoken to, which is the mirror's where there is one.
 */
function crioFiles(registries: readonly RegistrySettings[]): readonly NodeFile[] {
  const tables = registries.map(({ host, plain = false, mirror }) => {
    const own = ['[[registry]]', `location = ${JSON.stringify(host)}`, ...(plain ? ['insecure = true'] : [])];
    if (mirror === undefined) return own.join('\n');
    const { host: place, pathname, protocol } = new URL(mirror.url);
    const location = `${place}${pathname.replace(/\/+$/, '')}`;
    const insecure = protocol === 'http:' ? ['insecure = true'] : [];
    return [...own, '', '[[registry.mirror]]', `location = ${JSON.stringify(location)}`, ...insecure].join('\n');
  });
  const trusted = new Map<string, string>();
  const places = registries.flatMap(({ host, mirror, ca }) => [
    { place: host, ca },
    ...(mirror === undefined ? [] : [{ place: new URL(mirror.url).host, ca: mirror.ca }]),
  ]);
  for (const { place, ca } of places) {
    const before = trusted.get(place) ?? '';
    if (ca !== undefined && !before.includes(ca)) trusted.set(place, `${before}${ca}`);
  }
  return [
    { path: '/etc/containers/registries.conf.d/50-kvci.conf', content: `${tables.join('\n\n')}\n` },
    ...[...trusted].map(([host, content]) => ({ path: `/etc/containers/certs.d/${host}/ca.crt`, content })),
  ];
}
