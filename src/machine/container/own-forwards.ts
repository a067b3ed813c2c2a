import { KvciError } from '../../core/errors.ts';
import { freePort } from '../../host/free-port.ts';
import type { CommandRunner } from '../../host/types.ts';
import { innerConfig, NO_ROUTES, outerConfig, type Routes } from './haproxy.ts';
import type { MachineNetwork, NodeAddresses } from '../types.ts';
import type { Forwards } from './node-host.ts';
import { gatewayOf } from './ranges.ts';

const LOOPBACK = '127.0.0.1';

/** How often another port is tried when somebody takes the one that was free a moment ago. */
const PORT_ATTEMPTS = 5;

/** Processes of a configuration: those that wait for their last connection to end, too. */
const RUNNING = 'pgrep --full "^haproxy -D -f $1[.]cfg"';

/** Starts haproxy with the configuration that it reads, and lets the one before it end when its last connection has. */
const RELOAD = `mkdir -p "$(dirname "$1")" && cat >"$1.cfg"
old=$(${RUNNING})
exec haproxy -D -f "$1.cfg" \${old:+-sf $old}`;

const END = 'pkill -KILL --full "^haproxy -D -f $1/"; rm -rf -- "$1"';

/**
 * Ways into the network of nodes in kvci's own engine. That network and the host's meet in no place where a sandbox has rights,
 * but both see the sandbox's files: one load balancer on either side of a socket.
 */
export function ownForwards(engine: { readonly sandbox: CommandRunner; readonly network: CommandRunner }, cluster: string): Forwards {
  const folder = `/run/kvci/${cluster}`;
  const { sandbox, network } = engine;
  const sides = [
    { name: `${folder}/inner`, runner: network, config: innerConfig },
    { name: `${folder}/outer`, runner: sandbox, config: outerConfig },
  ] as const;

  const read = async (): Promise<Routes> => {
    const { exitCode, stdout } = await sandbox.run(['cat', `${folder}/routes.json`], { accept: [1] });
    return exitCode === 0 ? { ...NO_ROUTES, ...(JSON.parse(stdout) as Partial<Routes>) } : NO_ROUTES;
  };
  /** Starts what is not as it should be, or was killed. */
  const apply = async (before: Routes, routes: Routes, signal: AbortSignal): Promise<void> => {
    for (const { name, runner, config } of sides) {
      const text = config(routes, folder);
      const alive =
        text === config(before, folder) && (await sandbox.run(['sh', '-c', RUNNING, 'sh', name], { accept: [1] })).exitCode === 0;
      if (text === undefined || alive) continue;
      await runner.run(['sh', '-c', RELOAD, 'sh', name], { stdin: text, signal });
    }
    await sandbox.run(['tee', `${folder}/routes.json`], { stdin: JSON.stringify(routes), signal });
  };

  return {
    balance: async (ranges, port, targets, signal) => {
      const addresses = gatewaysOf(ranges);
      const before = await read();
      await apply(before, { ...before, balances: { ...before.balances, [port]: { addresses, targets } } }, signal);
      return byFamily(addresses);
    },
    reach: async (ranges, port, hostPort, signal) => {
      const addresses = gatewaysOf(ranges);
      const before = await read();
      await apply(before, { ...before, reaches: { ...before.reaches, [port]: { addresses, hostPort } } }, signal);
      return byFamily(addresses);
    },
    forward: async (name, targets, signal, wanted) => {
      const before = await read();
      const known = before.forwards[name]?.port ?? wanted;
      for (let attempt = 1; ; attempt += 1) {
        const port = known !== undefined && attempt === 1 ? known : await freePort();
        try {
          await apply(before, { ...before, forwards: { ...before.forwards, [name]: { port, targets } } }, signal);
          return { host: LOOPBACK, port };
        } catch (error) {
          if (!(error instanceof KvciError) || error.code !== 'command-failed' || attempt === PORT_ATTEMPTS) throw error;
        }
      }
    },
    // They run on while nodes are stopped: nobody else gets the port meanwhile.
    rest: () => Promise.resolve(),
    remove: async () => {
      await sandbox.run(['sh', '-c', END, 'sh', folder]);
    },
  };
}

function gatewaysOf({ ipv4, ipv6 }: MachineNetwork): string[] {
  return [ipv4, ipv6].filter((range) => range !== undefined).map(gatewayOf);
}

function byFamily(addresses: readonly string[]): NodeAddresses {
  const ipv4 = addresses.find((address) => !address.includes(':'));
  const ipv6 = addresses.find((address) => address.includes(':'));
  return { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
}
