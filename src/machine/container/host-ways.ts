import { connect } from 'node:net';

import { hasErrno, KvciError, messageOf, throwIfCancelled } from '../../core/errors.ts';
import type { SshAddress } from '../../host/engine/ssh-argv.ts';
import type { HostPort, MachinesSpec } from '../types.ts';
import type { Forwards } from './node-host.ts';
import type { SshForwards } from './ssh-forwards.ts';

/** How this host gets at what nodes in an engine publish. */
export interface HostWays {
  /** The address of the engine's host at which nodes publish. */
  readonly publishAt: string;
  /** @param published answers addresses as the engine's host sees them */
  lead(published: Forwards, spec: MachinesSpec): Forwards;
}

const LOOPBACK = '127.0.0.1';

/** An engine of this host: its loopback is ours. */
export const HERE: HostWays = { publishAt: LOOPBACK, lead: (published) => published };

/** An engine of another host, over ssh: nothing is open there beyond its loopback. */
export function waysBySsh(forwards: Pick<SshForwards, 'ensure' | 'end'>, engine: SshAddress): HostWays {
  return {
    publishAt: LOOPBACK,
    lead: (published, spec) => ({
      ...published,
      forward: async (name, targets, signal, wanted) => {
        const { port } = await published.forward(name, targets, signal, wanted);
        return { host: LOOPBACK, port: await forwards.ensure(spec, engine, port, wanted, signal) };
      },
      rest: async () => {
        await forwards.end(spec.cluster, spec.run);
        await published.rest();
      },
      remove: async () => {
        await forwards.end(spec.cluster, spec.run);
        await published.remove();
      },
    }),
  };
}

/** For a network that drops what it does not let through. */
const ANSWER_MS = 10_000;

/**
 * An engine of another host, over TCP: what is published is open to whoever reaches that address.
 *
 * @param host as the engine is called, which is in the certificate of the API
 * @param address its IP address
 */
export function waysByNetwork(host: string, address: string): HostWays {
  return {
    publishAt: address,
    lead: (published) => ({
      ...published,
      forward: async (name, targets, signal, wanted) => {
        const { port } = await published.forward(name, targets, signal, wanted);
        await requireReachable({ host, port }, signal);
        return { host, port };
      },
    }),
  };
}

/** Whether nobody answers yet does not matter. @throws KvciError `api-out-of-reach`, `cancelled` */
async function requireReachable({ host, port }: HostPort, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const socket = connect({ host, port, signal, timeout: ANSWER_MS }, () => resolve(undefined));
  socket.on('timeout', () => reject(new Error(`nothing came back within ${ANSWER_MS / 1000} s`)));
  socket.on('error', reject);
  try {
    await promise;
  } catch (error) {
    throwIfCancelled(signal);
    if (hasErrno(error, 'ECONNREFUSED', 'ECONNRESET')) return;
    throw outOfReach({ host, port }, error);
  } finally {
    socket.destroy();
  }
}

function outOfReach({ host, port }: HostPort, cause: unknown): KvciError {
  return new KvciError(
    'hostNotReady',
    'api-out-of-reach',
    `port ${port} of ${host}, at which its engine publishes the API, is not reached from here: ${messageOf(cause)}`,
    {
      hint: `A firewall between may let only the engine's own port through: open the ports 20000 to 29999, or name the engine by ssh://.`,
      facts: { host, port },
      cause,
    },
  );
}
