import type { ForwardTarget } from '../types.ts';

/** What of a cluster is reached through load balancers, by name and by port. */
export interface Routes {
  /** From this host's loopback. */
  readonly forwards: Readonly<Record<string, { readonly port: number; readonly targets: readonly ForwardTarget[] }>>;
  /** From the nodes, by port, at addresses of the cluster's network. */
  readonly balances: Readonly<Record<string, { readonly addresses: readonly string[]; readonly targets: readonly ForwardTarget[] }>>;
  /** From the nodes to ports of this host's loopback, by port, at addresses of the cluster's network. */
  readonly reaches: Readonly<Record<string, { readonly addresses: readonly string[]; readonly hostPort: number }>>;
}

export const NO_ROUTES: Routes = { forwards: {}, balances: {}, reaches: {} };

/**
 * `kubectl exec` and watches are silent for long: connections end with their peers, not with time. A node that is gone shows
 * in its health check, which closes what leads to it.
 */
const DEFAULTS = `global
  maxconn 4000
defaults
  mode tcp
  timeout connect 3s
  timeout client 1d
  timeout server 1d
  timeout check 2s
  retries 2
  option redispatch
  option clitcpka
  option srvtcpka
`;

/** Runs in the nodes' network: from sockets and from the cluster's own addresses to the nodes, and from those to sockets. */
export function innerConfig(routes: Routes, folder: string): string | undefined {
  const forwards = Object.entries(routes.forwards).map(([name, { targets }]) =>
    listen(name, [`unix@${socketPath(folder, name)} mode 600`], targets),
  );
  const balances = Object.entries(routes.balances).map(([port, { addresses, targets }]) =>
    listen(
      `port-${port}`,
      addresses.map((address) => bindAddress(address, Number(port))),
      targets,
    ),
  );
  const reaches = Object.entries(routes.reaches).map(([port, { addresses }]) => {
    const binds = addresses.map((address) => `  bind ${bindAddress(address, Number(port))}\n`).join('');
    return `listen reach-${port}\n${binds}  server outer unix@${socketPath(folder, `reach-${port}`)}\n`;
  });
  return config([...forwards, ...balances, ...reaches]);
}

/** Runs in the host's network: from ports of loopback to the sockets, and back. */
export function outerConfig(routes: Routes, folder: string): string | undefined {
  const forwards = Object.entries(routes.forwards).map(
    ([name, { port }]) => `listen ${name}\n  bind 127.0.0.1:${port}\n  server inner unix@${socketPath(folder, name)}\n`,
  );
  const reaches = Object.entries(routes.reaches).map(
    ([port, { hostPort }]) =>
      `listen reach-${port}\n  bind unix@${socketPath(folder, `reach-${port}`)} mode 600\n  server host 127.0.0.1:${hostPort}\n`,
  );
  return config([...forwards, ...reaches]);
}

/** Undefined when nobody listens, which haproxy refuses. */
function config(listeners: readonly string[]): string | undefined {
  return listeners.length === 0 ? undefined : [DEFAULTS, ...listeners].join('');
}

function listen(name: string, binds: readonly string[], targets: readonly ForwardTarget[]): string {
  // With one target there is nobody else to turn to: a connection to it fails by itself.
  const check = targets.length > 1 ? ' check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions' : '';
  const servers = targets.map(({ address, port }, index) => `  server target${index} ${bindAddress(address, port)}${check}\n`);
  return `listen ${name}\n  balance roundrobin\n${binds.map((bind) => `  bind ${bind}\n`).join('')}${servers.join('')}`;
}

function bindAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function socketPath(folder: string, name: string): string {
  return `${folder}/${name}.sock`;
}
