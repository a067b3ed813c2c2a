/**
 * Plugins that Corefiles of clusters use: kubeadm's default, the ones its migrations know, what the Kubernetes and CoreDNS
 * documentation shows for clusters. The others serve one cloud or ship data to one vendor, and bring their libraries along.
 */
export const CLUSTER_PLUGINS: ReadonlySet<string> = new Set([
  'acl',
  'any',
  'autopath',
  'bind',
  'bufsize',
  'cache',
  'cancel',
  'chaos',
  'debug',
  'dns64',
  'erratic',
  'errors',
  'file',
  'forward',
  'grpc',
  'header',
  'health',
  'hosts',
  'k8s_external',
  'kubernetes',
  'loadbalance',
  'local',
  'log',
  'loop',
  'metadata',
  'minimal',
  'multisocket',
  'nsid',
  'on',
  'pprof',
  'prometheus',
  'ready',
  'reload',
  'rewrite',
  'root',
  'template',
  'timeouts',
  'tls',
  'transfer',
  'view',
  'whoami',
]);

/**
 * Import paths of the cluster's plugins that this CoreDNS has, in the order of its `plugin.cfg`: lines `name:package`, the
 * package relative to CoreDNS' own plugin folder unless it names a host.
 */
export function pluginImports(pluginCfg: string, wanted: ReadonlySet<string> = CLUSTER_PLUGINS): string[] {
  return pluginCfg
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line) => {
      const colon = line.indexOf(':');
      const [name, path] = [line.slice(0, colon), line.slice(colon + 1)];
      if (colon < 0 || !wanted.has(name)) return [];
      return [path.split('/', 1)[0]?.includes('.') === true ? path : `github.com/coredns/coredns/plugin/${path}`];
    });
}
